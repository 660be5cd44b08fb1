// Where packets that were found here, and not by a server, go: a stream of one capture file, or files on disk
// that are split by size or time.
//
// Blocking, one thread. Errors end the query; what was written until then remains.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/connection.h"
#include "query/result_encoder.h"

namespace steno {

// A file, from its start; "-" is the standard output. An existing file is replaced.
class FileSink final : public ResultSink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}
  // Opens it at the first call.
  bool Write(std::span<const uint8_t> bytes) override;
  bool WantsMore() override { return static_cast<bool>(error_); }
  // Why Write() failed.
  [[nodiscard]] const Status& error() const { return error_; }

 private:
  std::string path_;
  UniqueFd fd_;
  Status error_;
};

class PacketOutput {
 public:
  virtual ~PacketOutput() = default;
  virtual Status Add(const PacketView& packet, const PacketSource& source) = 0;
  virtual Status Finish(std::span<const PacketSource> sources) = 0;
  // Of capture files, so far.
  [[nodiscard]] virtual uint64_t bytes() const = 0;
  // The consumer wants no more: that is how Add() and Finish() fail then.
  [[nodiscard]] virtual bool stopped() const { return false; }
};

// One capture file, or JSON, into a sink, which is borrowed.
class StreamOutput final : public PacketOutput {
 public:
  StreamOutput(ResultFormat format, ResultSink& sink, const Grouping& grouping = {})
      : encoder_(format, grouping), sink_(sink) {}
  Status Add(const PacketView& packet, const PacketSource& source) override;
  Status Finish(std::span<const PacketSource> sources) override;
  [[nodiscard]] uint64_t bytes() const override { return bytes_ + buffer_.size(); }
  [[nodiscard]] bool stopped() const override { return stopped_; }

 private:
  Status Flush();

  ResultEncoder encoder_;
  ResultSink& sink_;
  std::string buffer_;
  uint64_t bytes_ = 0;  // given to the sink
  bool stopped_ = false;
};

struct SplitLimits {
  uint64_t bytes = 0;   // a file that has reached this takes no further packet; 0: no limit
  int64_t time_ns = 0;  // from a file's first packet, exclusive; 0: no limit
};

// Files "name-00001.pcap", "name-00002.pcap", ... for "name.pcap"; each is whole in itself.
class SplitOutput final : public PacketOutput {
 public:
  SplitOutput(std::string path, ResultFormat format, const SplitLimits& limits);
  Status Add(const PacketView& packet, const PacketSource& source) override;
  Status Finish(std::span<const PacketSource> sources) override;
  [[nodiscard]] uint64_t bytes() const override;

 private:
  struct File {
    File(const std::string& path, ResultFormat format) : sink(path), stream(format, sink) {}
    FileSink sink;
    StreamOutput stream;
  };
  void Open();
  Status Close(std::span<const PacketSource> sources);
  Status Explain(const Status& status) const;
  void Remember(const PacketSource& source);

  const std::string path_;
  const ResultFormat format_;
  const SplitLimits limits_;
  std::optional<File> file_;
  unsigned files_ = 0;
  int64_t first_ns_ = 0;               // of the file
  uint64_t bytes_ = 0;                 // of those before
  std::vector<PacketSource> sources_;  // of the file's packets
};

}  // namespace steno
