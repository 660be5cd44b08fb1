// FileFeed: captured files, read in the order in which they were named.
//
// All are opened at once, before privileges go. A file that cannot be read, or only in part, is logged when
// it happens and does not keep the others from being read; outcome() remembers it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "capture/stream_feed.h"

namespace steno {

class FileFeed final : public StreamFeed {
 public:
  // "-" is standard input. Pipes are read as their writers write.
  static Result<std::unique_ptr<FileFeed>> Open(const std::vector<std::string>& paths);

  std::optional<PacketStream> Next(const StopEvent& stop) override;
  void Ended(const Status& how, const StreamCounts& counts) override;
  // After the reading thread. kCancelled if it was stopped before the end.
  [[nodiscard]] Status outcome() const override;

 private:
  struct File {
    UniqueFd fd;
    std::string path;       // for messages
    std::string interface;  // for block headers: the path's last part
  };

  FileFeed() = default;
  Status Add(const std::string& path);
  void Failed(std::string message);

  std::vector<File> files_;
  size_t next_ = 0;
  size_t failed_ = 0;
  std::string first_failure_;
  bool stopped_ = false;  // within a file
};

}  // namespace steno
