// ByteSource: buffered sequential input that knows its offset, for the parsers of this module.
//
// Not thread-safe. Memory: 256 KiB plus the largest Take().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "pcap/byte_input.h"

namespace steno {

class ByteSource {
 public:
  // `name` appears in messages.
  ByteSource(std::unique_ptr<ByteInput> input, std::string name);

  // The next `bytes` bytes, valid until the next call; kCorrupt if the input ends before. `what` names
  // them in the message.
  Result<std::span<const uint8_t>> Take(size_t bytes, const char* what);
  // The same without moving on.
  Result<std::span<const uint8_t>> Peek(size_t bytes, const char* what);
  // Moves on by `bytes` without keeping them.
  Status Skip(uint64_t bytes, const char* what);
  // Whether nothing is left.
  Result<bool> AtEnd();

  // Bytes taken or skipped so far.
  [[nodiscard]] uint64_t offset() const { return offset_; }
  // An Error of kind kCorrupt: "<name>: byte <offset>: <what>".
  [[nodiscard]] Error Corrupt(uint64_t offset, const std::string& what) const;
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  // Makes at least `bytes` bytes available unless the input ends; returns how many there are.
  Result<size_t> Fill(size_t bytes);

  std::unique_ptr<ByteInput> input_;
  std::string name_;
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0;  // of the bytes not yet taken
  size_t end_ = 0;
  uint64_t offset_ = 0;
};

}  // namespace steno
