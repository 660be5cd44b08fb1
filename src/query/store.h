// Store: what is recorded, right now: the packet files of all capture directories and the live segments
// beside them.
//
// Thread-safe: all calls may come from any thread. A snapshot keeps the files it names usable (their
// descriptors open lazily, by path) and the arenas mapped. Retention may delete a file meanwhile: reading it
// then fails with kNotFound, which a query counts as "gone", not as an error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "index/arena.h"
#include "index/flow_index.h"
#include "query/expression.h"
#include "query/index_cache.h"
#include "query/packet_source.h"
#include "storage/packet_file.h"

namespace steno {

struct StoreDirectory {
  std::string packets_directory;
  std::string index_directory;  // empty: there are no indexes
  bool operator==(const StoreDirectory&) const = default;
};

// A packet file and its index, opened together for one query.
struct OpenedFile {
  std::unique_ptr<PacketFile> file;
  std::unique_ptr<FlowIndex> index;  // null: read everything
  std::vector<BlockEntry> blocks;    // from the index, or from walking the file
  PacketOrigin origin;
  std::string problem;  // not empty: what of the file cannot be read
};

// One file of a snapshot. Immutable.
class StoredFile {
 public:
  virtual ~StoredFile() = default;
  [[nodiscard]] virtual const std::string& path() const = 0;
  // The number of its directory: that of the first thread that uses it, not counting threads that share one.
  [[nodiscard]] virtual uint32_t thread() const = 0;
  [[nodiscard]] virtual uint64_t file_id() const = 0;
  // No packet of the file is outside [first_ns, last_ns]. Exact where the index is known, else an enclosing
  // guess.
  [[nodiscard]] virtual int64_t first_ns() const = 0;
  [[nodiscard]] virtual int64_t last_ns() const = 0;
  // Whether first_ns() and last_ns() cost nothing.
  [[nodiscard]] virtual bool times_known() const = 0;
  // False if no packet can match. `effort`: how much may be done to find out.
  enum class Effort : uint8_t { kMemory, kSmallRead };
  [[nodiscard]] virtual bool MayMatch(const Expression& /*expression*/, Effort /*effort*/) const {
    return true;
  }
  // kNotFound if the file is gone.
  [[nodiscard]] virtual Result<OpenedFile> Open() const = 0;
  // The same without the index, which turned out to be unusable while it was asked (`why`).
  [[nodiscard]] virtual Result<OpenedFile> OpenForScan(const Error& why) const = 0;
};

using StoreSnapshot = std::vector<std::shared_ptr<const StoredFile>>;

class Store {
 public:
  struct Options {
    uint64_t index_cache_bytes = uint64_t{512} << 20;  // memory for what is kept of indexes
  };

  // One directory per capture thread. Threads may share one: it is read once.
  explicit Store(const std::vector<StoreDirectory>& directories) : Store(directories, Options()) {}
  Store(const std::vector<StoreDirectory>& directories, const Options& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Replaces the live arenas (one per directory that the constructor was given, null where none): at every
  // start of a stenotype.
  void SetArenas(std::vector<std::shared_ptr<const Arena>> arenas);

  // Everything that can be answered now, files and live segments, each packet once. Looks at the live
  // segments first and at the directories second, so that a file sealed in between is not missed, and rereads
  // a directory only when it has changed. A directory that cannot be read is reported in `problems`; so is,
  // once, an index that is damaged: its packet file is then read without it.
  StoreSnapshot Snapshot(std::vector<std::string>* problems = nullptr);

  struct Totals {
    uint64_t files = 0;
    uint64_t unindexed_files = 0;
    // The latest of the directories' oldest packets: from here on all threads have data. 0 if there is none.
    int64_t oldest_ns = 0;
    IndexCache::Totals index_cache{};
    struct DirectoryTotals {
      std::string packets_directory;
      int64_t oldest_ns = 0;  // its oldest packet; 0 if it has none
    };
    std::vector<DirectoryTotals> directories{};
  };
  Totals totals();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
