// PublishedFile: a published packet file as part of a store, with its index if that is there and belongs to
// it.
//
// Immutable to its users and thread-safe. A file without an index is walked once, when its times or blocks
// are first needed, and keeps its block table.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "index/google_v2_gaps.h"
#include "query/flow_select.h"
#include "query/index_cache.h"
#include "query/store.h"
#include "storage/packet_file.h"

namespace steno {

// Lines about damaged indexes, from whichever thread finds them, until the next snapshot reports them.
class ProblemLog {
 public:
  void Add(std::string line);
  std::vector<std::string> Take();

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

PacketOrigin OriginOf(const FileIdentity& identity, uint32_t thread);

// True for an error that means that the file was deleted.
bool IsGone(const Error& error);

// Tells one state of the path of an index from another; all zero if there is nothing.
struct IndexStamp {
  uint64_t inode = 0;
  int64_t changed_ns = 0;
  bool operator==(const IndexStamp&) const = default;
};
IndexStamp StampOf(const std::string& path);

class PublishedFile final : public StoredFile {
 public:
  // `name` is the file's in both directories. Reads the file's first header, the index's footer and, if there
  // is a cache, what that is to keep. kNotFound if there is no such file.
  static Result<std::shared_ptr<const PublishedFile>> Load(const StoreDirectory& directory, uint32_t thread,
                                                           const std::string& name,
                                                           std::shared_ptr<ProblemLog> log,
                                                           IndexCache* cache = nullptr);

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] uint32_t thread() const override { return thread_; }
  [[nodiscard]] uint64_t file_id() const override { return file_id_; }
  [[nodiscard]] int64_t first_ns() const override { return Bounds().first_ns; }
  [[nodiscard]] int64_t last_ns() const override { return Bounds().last_ns; }
  [[nodiscard]] bool times_known() const override { return (indexed() && covered_) || !identity_.ours; }
  [[nodiscard]] bool MayMatch(const Expression& expression, Effort effort) const override;
  [[nodiscard]] Result<OpenedFile> Open() const override;
  [[nodiscard]] Result<OpenedFile> OpenForScan(const Error& why) const override;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint64_t file_tag() const { return identity_.file_tag; }  // 0: not known
  [[nodiscard]] bool indexed() const { return indexed_.load(std::memory_order_acquire); }
  // The index is one that the server is going to seal.
  [[nodiscard]] bool raw() const { return raw_; }
  // True if there is an index now that was not there, or was another, when this was loaded: load the file
  // anew.
  [[nodiscard]] bool IndexChanged() const;

 private:
  PublishedFile() = default;
  void LoadIndex(uint64_t file_bytes, IndexCache* cache);
  void LoadGuess(const PacketFile& file);
  [[nodiscard]] TimeSpan Bounds() const;
  void GiveUpIndex(const std::string& why) const;
  [[nodiscard]] Result<PacketFile> OpenPackets() const;
  [[nodiscard]] Result<std::shared_ptr<const BlockTable>> Walk(const PacketFile& file) const;
  [[nodiscard]] Result<OpenedFile> OpenWithoutIndex(PacketFile file) const;
  [[nodiscard]] Result<std::unique_ptr<FlowIndex>> OpenIndex(const PacketFile& file) const;
  [[nodiscard]] Result<std::shared_ptr<const GoogleGaps>> FindGaps(const PacketFile& file) const;
  [[nodiscard]] Status AddUncovered(OpenedFile& opened) const;
  [[nodiscard]] std::string DamageIn(const BlockTable& table) const;

  std::string name_;
  std::string path_;
  std::string index_path_;
  uint32_t thread_ = 0;
  uint64_t file_id_ = 0;
  FileIdentity identity_;
  IndexStamp index_stamp_;
  TimeSpan indexed_times_;  // where there is an index
  bool covered_ = true;     // false: the file has blocks behind those that its index knows
  bool raw_ = false;
  bool google_ = false;                              // file and index are the incumbent's
  std::optional<IndexCache> cache_;                  // where that is so: limits the memory of gaps_
  std::shared_ptr<const IndexCache::Entry> cached_;  // null where nothing is to be kept
  TimeSpan guess_;                                   // where there is none
  std::shared_ptr<ProblemLog> log_;
  mutable std::atomic<bool> indexed_{false};
  mutable std::mutex walk_mutex_;
  mutable std::shared_ptr<const BlockTable> walked_;        // under walk_mutex_
  mutable std::shared_ptr<const GoogleGaps> gaps_;          // likewise: of the incumbent's index
  mutable std::unique_ptr<const IndexCache::Claim> claim_;  // likewise: for the memory of gaps_
};

}  // namespace steno
