// LiveFile: a packet file that is being written, as its live segment in an arena showed it when the snapshot
// was taken.
//
// Immutable and thread-safe. It shows the blocks that were published by then and no later ones, however often
// and late it is opened: even when the file has been sealed and renamed meanwhile and its segment belongs to
// another file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/arena.h"
#include "query/flow_select.h"
#include "query/published_file.h"
#include "query/store.h"

namespace steno {

class LiveFile final : public StoredFile {
 public:
  // The file in a segment of `arena`. Null if there is none with a published block. The arena is untrusted:
  // an error (kCorrupt) says what of it makes no sense.
  static Result<std::shared_ptr<const LiveFile>> Take(const StoreDirectory& directory, uint32_t thread,
                                                      std::shared_ptr<const Arena> arena, unsigned segment,
                                                      std::shared_ptr<ProblemLog> log);

  [[nodiscard]] const std::string& path() const override { return hidden_path_; }
  [[nodiscard]] uint32_t thread() const override { return thread_; }
  [[nodiscard]] uint64_t file_id() const override { return file_id_; }
  [[nodiscard]] int64_t first_ns() const override { return times_.first_ns; }
  [[nodiscard]] int64_t last_ns() const override { return times_.last_ns; }
  [[nodiscard]] bool times_known() const override { return true; }
  [[nodiscard]] Result<OpenedFile> Open() const override;
  [[nodiscard]] Result<OpenedFile> OpenForScan(const Error& why) const override;

  [[nodiscard]] uint64_t file_tag() const { return file_tag_; }
  // True if no further block can come: the index is being sealed.
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  LiveFile() = default;
  [[nodiscard]] Result<PacketFile> OpenPackets() const;
  [[nodiscard]] Result<std::shared_ptr<const PublishedFile>> FindSealed() const;
  [[nodiscard]] Result<OpenedFile> OpenSealed() const;
  void CutToSnapshot(OpenedFile& opened) const;

  StoreDirectory directory_;
  uint32_t thread_ = 0;
  std::shared_ptr<const Arena> arena_;
  unsigned segment_ = 0;
  SegmentSnapshot snapshot_;  // for its generation; spans point into the arena
  std::string hidden_path_;
  uint64_t file_id_ = 0;
  uint64_t file_tag_ = 0;
  bool complete_ = false;
  TimeSpan times_;
  uint64_t end_ = 0;  // where the last published block ends, padding included
  std::shared_ptr<ProblemLog> log_;
};

}  // namespace steno
