// SealedWriter: writes an index file section by section, hidden until it is complete.
//
// One thread. Without Finish() the file is removed. The file is locked (flock) while it is written, so that
// recovery can tell it from one that a crash left behind.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "index/byte_stream.h"
#include "index/sealed_format.h"

namespace steno {

class SealedWriter {
 public:
  static Result<SealedWriter> Create(const std::string& directory, const std::string& name, uint64_t file_id,
                                     uint64_t file_tag);
  SealedWriter(SealedWriter&&) noexcept = default;
  SealedWriter& operator=(SealedWriter&&) = delete;
  ~SealedWriter();

  // A section in pieces. Failures to write are told by End().
  void Begin(SectionId id);
  void Append(std::span<const uint8_t> piece);
  Status End();
  // A section in one piece.
  Status Add(SectionId id, std::span<const uint8_t> section);

  // Writes table and footer (whose counts are the caller's), makes the file durable and gives it its name.
  Status Finish(IndexFooter footer);

 private:
  SealedWriter(std::string directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}
  Status Write(std::span<const uint8_t> bytes);
  Status Flush();
  [[nodiscard]] std::string HiddenPath() const { return directory_ + "/." + name_; }

  std::string directory_;
  std::string name_;
  UniqueFd fd_;  // invalid once finished
  Bytes buffer_;
  uint64_t written_ = 0;    // bytes of the file before those in buffer_
  SectionEntry section_{};  // the current one; id 0: none
  Status status_;           // of the writes to it
  std::vector<SectionEntry> table_;
};

}  // namespace steno
