#include "query/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "query/flow_select.h"
#include "query/published_file.h"

namespace steno {
namespace {

// That are read while others are worked on: of all open files, and of each.
constexpr size_t kUnitsAhead = 16;
constexpr size_t kMinUnitsAhead = 2;
constexpr size_t kMaxUnitsAhead = 8;
constexpr uint64_t kPacketsPerCheck = 1024;

std::vector<const StoredFile*> FilesOf(const std::vector<MergeSource>& sources) {
  std::vector<const StoredFile*> files;
  for (const MergeSource& source : sources) files.push_back(source.file);
  return files;
}

}  // namespace

Result<std::vector<MergeSource>> CollectSources(const StoreSnapshot& snapshot, const TimeRange& bounds,
                                                const QueryOptions& options) {
  std::vector<const StoredFile*> files;
  for (const auto& file : snapshot) files.push_back(file.get());
  std::ranges::sort(files, {}, [](const StoredFile* file) {
    return std::tuple<uint32_t, uint64_t, const std::string&>(file->thread(), file->file_id(), file->path());
  });
  std::vector<MergeSource> sources;
  for (uint32_t rank = 0; rank < files.size(); ++rank) {
    STENO_CHECK_OK(CheckStop(options));
    const int64_t first_ns = files[rank]->first_ns();
    if (Overlaps(bounds, {first_ns, files[rank]->last_ns()}))
      sources.push_back({files[rank], first_ns, rank});
  }
  std::ranges::sort(sources, {},
                    [](const MergeSource& source) { return std::tuple(source.first_ns, source.rank); });
  return sources;
}

Merge::Merge(std::vector<MergeSource> sources, const PlanRequest& request, const QueryOptions& options,
             const EmitPacket& emit, QueryStats& stats)
    : sources_(std::move(sources)),
      options_(options),
      emit_(emit),
      stats_(stats),
      reader_(request, options, stats),
      plans_(FilesOf(sources_), request),
      open_(sources_.size()),
      held_(options.memory) {}

Status Merge::Run() {
  Status status = Loop();
  stats_.sources = origins_.All();
  return status;
}

Status Merge::Loop() {
  QueueFile(0);
  while (!ended_ && !(work_.empty() && heads_.empty())) {
    if (MustWork()) {
      STENO_CHECK_OK(CheckStop(options_));
      STENO_CHECK_OK(DoWork());
    } else {
      STENO_CHECK_OK(EmitRun());
    }
  }
  return {};
}

// True if there is work that could bring a packet before the first one at hand.
bool Merge::MustWork() {
  if (work_.empty()) return false;
  if (heads_.empty()) {
    if (work_.top().time_ns >= horizon_ns_) horizon_ns_ = INT64_MAX;  // everything before it is handed on
    return true;
  }
  if (work_.top().time_ns > heads_.top().time_ns) return false;
  if (held_.MayGrow(options_.held_bytes_limit)) return true;
  // Of packets of one time any may be the first, where memory does not allow better.
  if (work_.top().time_ns == heads_.top().time_ns) return false;
  LowerHorizon();
  return true;
}

// Halves what is at hand, in packets. The next work's own time stays before the horizon, so that it is done.
void Merge::LowerHorizon() {
  std::vector<int64_t> times;
  for (const Slot& slot : slots_) {
    for (size_t i = slot.run.next; i < slot.run.packets.size(); ++i)
      times.push_back(slot.run.packets[i].time_ns);
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  horizon_ns_ = std::max(*middle, work_.top().time_ns + 1);
  heads_ = {};
  for (size_t at = 0; at < slots_.size(); ++at) {
    Slot& slot = slots_[at];
    if (slot.run.packets.empty()) continue;
    held_.Release(slot.run.held_bytes());
    DropBeyondHorizon(slot.run, slot.source, slot.unit);
    held_.Take(slot.run.held_bytes());
    if (slot.run.next == slot.run.packets.size()) {
      FinishRun(at);
    } else {
      const PacketView& first = slot.run.packets[slot.run.next];
      heads_.push({first.time_ns, slot.rank, first.file_offset, at});
    }
  }
}

// The packets of a run that are not before the horizon are to be read again.
void Merge::DropBeyondHorizon(PacketRun& run, size_t source, size_t unit) {
  const auto beyond = std::ranges::lower_bound(run.packets, horizon_ns_, {}, &PacketView::time_ns);
  if (beyond == run.packets.end()) return;
  // Work of an earlier drop, from a later time on, is not found in `dropped` any more when its turn comes.
  open_[source]->dropped[unit] = beyond->time_ns;
  work_.push({beyond->time_ns, true, sources_[source].rank, source, unit});
  run.packets = std::vector<PacketView>(run.packets.begin(), beyond);  // erasing would keep the memory
  reader_.Shrink(run);
}

Status Merge::DoWork() {
  const Work work = work_.top();
  work_.pop();
  if (work.is_unit) return ReadUnitOf(work);
  return OpenSource(work.source);
}

void Merge::QueueFile(size_t source) {
  if (source < sources_.size())
    work_.push({sources_[source].first_ns, false, sources_[source].rank, source, kNextUnit});
}

Status Merge::OpenSource(size_t source) {
  QueueFile(source + 1);
  Result<FilePlan> plan = plans_.Take(source);
  if (!plan) {
    if (plan.error().code == ErrorCode::kCancelled) return CheckStop(options_);
    if (IsGone(plan.error())) {
      ++stats_.files_gone;
    } else {
      stats_.problems.push_back(std::move(plan).error().message);
    }
    return {};
  }
  if (plan->ruled_out) {
    ++stats_.files_ruled_out;
    return {};
  }
  ++stats_.files_opened;
  if (plan->scanned) ++stats_.files_scanned;
  std::ranges::move(plan->problems, std::back_inserter(stats_.problems));
  const size_t origin = origins_.Find(plan->origin);
  origins_.AddDrops(origin, plan->drops);
  if (plan->units.empty()) return {};
  open_[source] = std::make_unique<OpenFile>();
  ++open_files_;
  open_[source]->origin = origin;
  open_[source]->plan = std::move(*plan);
  work_.push({open_[source]->plan.units.front().first_ns, true, sources_[source].rank, source, kNextUnit});
  return {};
}

Status Merge::ReadUnitOf(const Work& work) {
  const size_t source = work.source;
  const bool again = work.again != kNextUnit;
  if (again && (!open_[source] || !open_[source]->IsDropped(work.again, work.time_ns))) return {};
  OpenFile& open = *open_[source];
  const size_t number = again ? work.again : open.next_unit++;
  AnnounceUnits(open);
  PacketRun run;
  std::string damage;
  STENO_CHECK_OK(reader_.Read(*open.plan.file, open.plan.units[number], run, damage));
  // One line per file: a file that was cut off misses thousands of units.
  if (!again && !damage.empty() && ++open.damaged_units == 1) stats_.problems.push_back(std::move(damage));
  if (again) {
    open.dropped.erase(number);
    const auto from = std::ranges::lower_bound(run.packets, work.time_ns, {}, &PacketView::time_ns);
    run.packets.erase(run.packets.begin(), from);
  }
  AddRun(std::move(run), source, number);
  if (!again && open.next_unit < open.plan.units.size()) {
    work_.push({open.plan.units[open.next_unit].first_ns, true, work.rank, source, kNextUnit});
  }
  CloseIfDone(source);
  return {};
}

void Merge::AnnounceUnits(OpenFile& open) {
  open.announced = std::max(open.announced, open.next_unit);
  const size_t share = std::clamp(kUnitsAhead / open_files_, kMinUnitsAhead, kMaxUnitsAhead);
  // Two at a time: the disk is told once of both, and a query's spare buffers are enough for them.
  if (open.announced + 1 >= open.next_unit + share) return;
  const size_t end = std::min(open.next_unit + share, open.plan.units.size());
  const std::span<const ReadUnit> units(open.plan.units);
  reader_.Announce(*open.plan.file, units.subspan(open.announced, end - open.announced));
  open.announced = end;
}

// Not before its packets are handed on: they could be dropped, and then they are read again.
void Merge::CloseIfDone(size_t source) {
  const OpenFile& open = *open_[source];
  if (open.next_unit < open.plan.units.size() || open.runs > 0 || !open.dropped.empty()) return;
  if (open.damaged_units > 1) {
    stats_.problems.push_back(fmt::format("{}: {} more places could not be read",
                                          sources_[source].file->path(), open.damaged_units - 1));
  }
  open_[source].reset();
  --open_files_;
}

void Merge::AddRun(PacketRun run, size_t source, size_t unit) {
  DropBeyondHorizon(run, source, unit);
  if (run.packets.empty()) {
    reader_.Recycle(run);
    return;
  }
  size_t slot = slots_.size();
  if (free_slots_.empty()) {
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  held_.Take(run.held_bytes());
  const uint32_t rank = sources_[source].rank;
  heads_.push({run.packets.front().time_ns, rank, run.packets.front().file_offset, slot});
  slots_[slot] = {std::move(run), rank, source, unit};
  ++open_[source]->runs;
}

// Hands on packets of the run with the first one, as long as no other run and no work comes before its next.
Status Merge::EmitRun() {
  const size_t slot = heads_.top().run;
  heads_.pop();
  PacketRun& run = slots_[slot].run;
  const size_t origin = open_[slots_[slot].source]->origin;
  for (;;) {
    if (stats_.packets_matched++ % kPacketsPerCheck == 0) STENO_CHECK_OK(CheckStop(options_));
    const PacketView& packet = run.packets[run.next];
    if (!emit_(packet, origins_.ForPacket(origin, packet.time_ns))) {
      ended_ = true;
      return {};
    }
    if (++run.next == run.packets.size()) {
      FinishRun(slot);
      return {};
    }
    const PacketView& next = run.packets[run.next];
    const Head head{next.time_ns, slots_[slot].rank, next.file_offset, slot};
    const bool others_first = !heads_.empty() && heads_.top() < head;
    const bool work_first = !work_.empty() && work_.top().time_ns <= head.time_ns;
    if (others_first || work_first) {
      heads_.push(head);
      return {};
    }
  }
}

void Merge::FinishRun(size_t slot) {
  held_.Release(slots_[slot].run.held_bytes());
  reader_.Recycle(slots_[slot].run);
  slots_[slot].run = {};
  free_slots_.push_back(slot);
  --open_[slots_[slot].source]->runs;
  CloseIfDone(slots_[slot].source);
}

}  // namespace steno
