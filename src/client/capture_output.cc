#include "client/capture_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/file.h"

namespace steno {
namespace {

constexpr size_t kChunkBytes = 256 << 10;

}  // namespace

bool FileSink::Write(std::span<const uint8_t> bytes) {
  if (!error_) return false;
  const bool standard = path_ == "-";
  if (!standard && !fd_.valid()) {
    auto fd = OpenFile(path_, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!fd) {
      error_ = Fail(std::move(fd).error());
      return false;
    }
    fd_ = std::move(*fd);
  }
  while (!bytes.empty()) {
    const ssize_t put = ::write(standard ? STDOUT_FILENO : fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      error_ = Fail(Error::System("write " + path_));
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return true;
}

Status StreamOutput::Add(const PacketView& packet, const PacketSource& source) {
  STENO_CHECK_OK(encoder_.Add(packet, source, buffer_));
  return buffer_.size() < kChunkBytes ? Status() : Flush();
}

Status StreamOutput::Finish(std::span<const PacketSource> sources) {
  encoder_.Finish(sources, buffer_);
  return Flush();
}

Status StreamOutput::Flush() {
  if (!sink_.Write({reinterpret_cast<const uint8_t*>(buffer_.data()), buffer_.size()})) {
    stopped_ = true;
    return Fail({.code = ErrorCode::kCancelled, .message = "nobody takes the packets any more"});
  }
  bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

SplitOutput::SplitOutput(std::string path, ResultFormat format, const SplitLimits& limits)
    : path_(std::move(path)), format_(format), limits_(limits) {}

Status SplitOutput::Add(const PacketView& packet, const PacketSource& source) {
  const bool full = file_ && limits_.bytes != 0 && file_->stream.bytes() >= limits_.bytes;
  const bool over = file_ && limits_.time_ns != 0 && packet.time_ns - first_ns_ >= limits_.time_ns;
  if (full || over) STENO_CHECK_OK(Close(sources_));
  if (!file_) {
    Open();
    first_ns_ = packet.time_ns;
  }
  Remember(source);
  return Explain(file_->stream.Add(packet, source));
}

Status SplitOutput::Finish(std::span<const PacketSource> sources) {
  if (!file_) Open();
  return Close(sources);
}

uint64_t SplitOutput::bytes() const { return bytes_ + (file_ ? file_->stream.bytes() : 0); }

void SplitOutput::Open() {
  const std::filesystem::path path(path_);
  const std::string name =
      fmt::format("{}-{:05}{}", path.stem().string(), ++files_, path.extension().string());
  file_.emplace(path.parent_path() / name, format_);
}

Status SplitOutput::Close(std::span<const PacketSource> sources) {
  const Status finished = Explain(file_->stream.Finish(sources));
  bytes_ += file_->stream.bytes();
  file_.reset();
  sources_.clear();
  return finished;
}

// A sink only says that it failed.
Status SplitOutput::Explain(const Status& status) const {
  return status || file_->sink.error() ? status : file_->sink.error();
}

void SplitOutput::Remember(const PacketSource& source) {
  const auto known = std::ranges::find(sources_, source.number, &PacketSource::number);
  if (known == sources_.end()) {
    sources_.push_back(source);
  } else {
    known->drops = source.drops;
  }
}

}  // namespace steno
