#include "server/capture_group.h"

#include <algorithm>
#include <utility>

namespace steno {

std::vector<StoreDirectory> SlotDirectories(const ServerConfig& config) {
  std::vector<StoreDirectory> directories;
  for (size_t i = 0; i < config.interfaces.size(); ++i) {
    for (const ThreadConfig& thread : config.threads)
      directories.push_back({thread.packets_directory, thread.index_directory});
  }
  return directories;
}

Result<std::unique_ptr<CaptureGroup>> CaptureGroup::Prepare(const ServerConfig& config, Store& store,
                                                            const std::function<void()>& on_leftovers) {
  const std::vector<StoreDirectory> slots = SlotDirectories(config);
  std::unique_ptr<CaptureGroup> group(new CaptureGroup(store, slots.size()));
  for (const std::string& interface : config.interfaces) {
    const auto first_slot = static_cast<unsigned>(group->supervisors_.size() * config.threads.size());
    SupervisorOptions options;
    options.stenotype_path = config.stenotype_path;
    options.interface = interface;
    options.flags = config.flags;
    options.directories.assign(slots.begin(), slots.begin() + static_cast<ptrdiff_t>(config.threads.size()));
    options.first_slot = first_slot;
    options.slots = static_cast<unsigned>(slots.size());
    options.on_arenas = [group = group.get(), first_slot](ArenaList arenas) {
      group->TakeArenas(first_slot, std::move(arenas));
    };
    options.on_leftovers = on_leftovers;
    STENO_TRY(auto supervisor, Supervisor::Prepare(std::move(options)));
    group->supervisors_.push_back(std::move(supervisor));
  }
  return group;
}

void CaptureGroup::TakeArenas(unsigned first_slot, ArenaList arenas) {
  const std::lock_guard lock(mutex_);
  std::ranges::move(arenas, arenas_.begin() + first_slot);
  store_.SetArenas(arenas_);
}

void CaptureGroup::Start() {
  for (const auto& supervisor : supervisors_) supervisor->Start();
}

void CaptureGroup::RequestStop() {
  for (const auto& supervisor : supervisors_) supervisor->RequestStop();
}

void CaptureGroup::Stop() {
  RequestStop();
  for (const auto& supervisor : supervisors_) supervisor->Stop();
}

std::vector<CaptureState> CaptureGroup::states() const {
  std::vector<CaptureState> states;
  for (const auto& supervisor : supervisors_) states.push_back(supervisor->state());
  return states;
}

std::vector<std::string> NotReadyReasons(const std::vector<CaptureState>& states, int64_t now_ns) {
  std::vector<std::string> reasons;
  for (const CaptureState& state : states)
    std::ranges::move(NotReadyReasons(state, now_ns), std::back_inserter(reasons));
  return reasons;
}

}  // namespace steno
