// Merge: the packets of many files in one order, with as few of them in memory as their times allow.
//
// Two queues. Work to do: the next file to open, and of each open file the next unit to read, each with a
// time before which none of its packets is. Packets at hand: the first of every run that has been read. A
// packet is handed on when no work is left that could bring an earlier or equal one.
//
// Where times have no order (captures that were read from files), that could be all of a store at once. When
// the packets at hand take more memory than they may, those from some time on, the horizon, are dropped, and
// the units that they came from are read again when everything before the horizon has been handed on. Not
// thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "query/execute.h"
#include "query/file_plan.h"
#include "query/memory_budget.h"
#include "query/plan_ahead.h"
#include "query/unit_reader.h"

namespace steno {

// What is known of a file before it is opened.
struct MergeSource {
  const StoredFile* file;
  int64_t first_ns;
  uint32_t rank;  // by (thread, file id): breaks ties of time
};

// The files that overlap `bounds`, in the order of opening. Files without an index may have to be walked to
// know their times. Errors: those of CheckStop().
Result<std::vector<MergeSource>> CollectSources(const StoreSnapshot& snapshot, const TimeRange& bounds,
                                                const QueryOptions& options);

class Merge {
 public:
  // All but `sources` are borrowed.
  Merge(std::vector<MergeSource> sources, const PlanRequest& request, const QueryOptions& options,
        const EmitPacket& emit, QueryStats& stats);

  Status Run();

 private:
  Status Loop();
  struct OpenFile {
    FilePlan plan;
    size_t next_unit = 0;  // those before have been read once
    size_t announced = 0;
    uint64_t damaged_units = 0;
    size_t runs = 0;                    // of its packets, at hand
    size_t origin = 0;                  // in origins_
    std::map<size_t, int64_t> dropped;  // unit -> from when on its packets are to be read again

    [[nodiscard]] bool IsDropped(size_t unit, int64_t time_ns) const {
      const auto found = dropped.find(unit);
      return found != dropped.end() && found->second == time_ns;
    }
  };
  struct Work {
    int64_t time_ns;
    bool is_unit;  // at equal times files are opened first: the order of units is then the files' order
    uint32_t rank;
    size_t source;
    size_t again;  // the unit to read again; kNextUnit: the next for the first time
    auto operator<=>(const Work&) const = default;
  };
  struct Head {
    int64_t time_ns;
    uint32_t rank;
    uint64_t offset;
    size_t run;
    auto operator<=>(const Head&) const = default;
  };
  struct Slot {
    PacketRun run;  // empty: the slot is free
    uint32_t rank = 0;
    size_t source = 0;
    size_t unit = 0;
  };
  static constexpr size_t kNextUnit = SIZE_MAX;
  template <class T>
  using MinQueue = std::priority_queue<T, std::vector<T>, std::greater<>>;

  [[nodiscard]] bool MustWork();
  Status DoWork();
  void QueueFile(size_t source);
  Status OpenSource(size_t source);
  Status ReadUnitOf(const Work& work);
  void AnnounceUnits(OpenFile& open);
  void CloseIfDone(size_t source);
  void AddRun(PacketRun run, size_t source, size_t unit);
  void DropBeyondHorizon(PacketRun& run, size_t source, size_t unit);
  void LowerHorizon();
  Status EmitRun();
  void FinishRun(size_t slot);

  const std::vector<MergeSource> sources_;
  const QueryOptions& options_;
  const EmitPacket& emit_;
  QueryStats& stats_;
  PacketSources origins_;
  UnitReader reader_;
  PlanAhead plans_;
  std::vector<std::unique_ptr<OpenFile>> open_;  // per source
  size_t open_files_ = 0;
  MinQueue<Work> work_;
  MinQueue<Head> heads_;
  std::vector<Slot> slots_;
  std::vector<size_t> free_slots_;
  HeldMemory held_;
  int64_t horizon_ns_ = INT64_MAX;  // no packet of this time or later is at hand
  bool ended_ = false;              // emit() said so
};

}  // namespace steno
