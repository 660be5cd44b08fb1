#include "pcap/byte_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace steno {

namespace {

constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

ByteSource::ByteSource(std::unique_ptr<ByteInput> input, std::string name)
    : input_(std::move(input)), name_(std::move(name)), buffer_(kBufferBytes) {}

Error ByteSource::Corrupt(uint64_t offset, const std::string& what) const {
  return Error::Corrupt(fmt::format("{}: byte {}: {}", name_, offset, what));
}

Result<size_t> ByteSource::Fill(size_t bytes) {
  if (end_ - begin_ >= bytes) return end_ - begin_;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  while (end_ < bytes) {
    auto got = input_->Read(std::span(buffer_).subspan(end_));
    if (!got) return Fail(std::move(got).error().With(name_));
    if (*got == 0) break;
    end_ += *got;
  }
  return end_ - begin_;
}

Result<std::span<const uint8_t>> ByteSource::Peek(size_t bytes, const char* what) {
  STENO_TRY(const size_t available, Fill(bytes));
  if (available < bytes) {
    return Fail(Corrupt(offset_, fmt::format("the input ends inside {}: expected {} bytes, found {}", what,
                                             bytes, available)));
  }
  return std::span<const uint8_t>{buffer_.data() + begin_, bytes};
}

Result<std::span<const uint8_t>> ByteSource::Take(size_t bytes, const char* what) {
  STENO_TRY(const auto taken, Peek(bytes, what));
  begin_ += bytes;
  offset_ += bytes;
  return taken;
}

Status ByteSource::Skip(uint64_t bytes, const char* what) {
  while (bytes > 0) {
    const auto piece = static_cast<size_t>(std::min<uint64_t>(bytes, kBufferBytes));
    STENO_CHECK_OK(Take(piece, what));
    bytes -= piece;
  }
  return {};
}

Result<bool> ByteSource::AtEnd() {
  STENO_TRY(const size_t available, Fill(1));
  return available == 0;
}

}  // namespace steno
