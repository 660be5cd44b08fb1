// CaptureGroup: the recording of all interfaces: one stenotype for each, each with its supervisor, so that
// one that fails or whose interface is missing does not disturb the others.
//
// All of them record into the same directories with as many capture threads as there are entries in Threads.
// A thread's number (its slot) counts over all interfaces: the first one's threads come first. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "query/store.h"
#include "server/config.h"
#include "server/supervisor.h"

namespace steno {

// The directories of every slot: what a store for the group's arenas is made of.
std::vector<StoreDirectory> SlotDirectories(const ServerConfig& config);

class CaptureGroup {
 public:
  // `store` is given the arenas at every start of a stenotype, and must outlive the group. `on_leftovers`:
  // as in SupervisorOptions.
  static Result<std::unique_ptr<CaptureGroup>> Prepare(const ServerConfig& config, Store& store,
                                                       const std::function<void()>& on_leftovers);
  CaptureGroup(const CaptureGroup&) = delete;
  CaptureGroup& operator=(const CaptureGroup&) = delete;

  void Start();        // all, once
  void RequestStop();  // does not wait
  void Stop();         // ends all, side by side

  // One per interface, in the order of the configuration.
  [[nodiscard]] std::vector<CaptureState> states() const;

 private:
  CaptureGroup(Store& store, size_t slots) : store_(store), arenas_(slots) {}
  void TakeArenas(unsigned first_slot, ArenaList arenas);

  Store& store_;
  std::mutex mutex_;
  ArenaList arenas_;                                      // guarded by mutex_, by slot
  std::vector<std::unique_ptr<Supervisor>> supervisors_;  // last: they call TakeArenas()
};

// The same of all interfaces; what concerns only one names it.
std::vector<std::string> NotReadyReasons(const std::vector<CaptureState>& states, int64_t now_ns);

}  // namespace steno
