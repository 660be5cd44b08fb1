#include "capture/stream_source.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr int64_t kMaxSeconds = UINT32_MAX;

Result<UniqueFd> MakeEvent() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (event.valid()) return event;
  return Fail(Error::System("eventfd"));
}

void Signal(const UniqueFd& event) {
  const uint64_t one = 1;
  static_cast<void>(!::write(event.get(), &one, sizeof one));
}

void Clear(const UniqueFd& event) {
  uint64_t count = 0;
  static_cast<void>(!::read(event.get(), &count, sizeof count));
}

Error Stopped() { return {.code = ErrorCode::kCancelled, .message = "stopped"}; }

}  // namespace

// Lets a reader of pcap files wait in a way that ends with a stop, and that hands over old blocks meanwhile.
class StreamSource::Input final : public ByteInput {
 public:
  Input(StreamSource& source, UniqueFd fd) : source_(source), fd_(std::move(fd)) {}
  Result<size_t> Read(std::span<uint8_t> into) override { return source_.ReadBytes(fd_.get(), into); }

 private:
  StreamSource& source_;
  UniqueFd fd_;
};

Result<std::unique_ptr<StreamSource>> StreamSource::Create(const StreamOptions& options,
                                                           std::unique_ptr<StreamFeed> feed) {
  STENO_TRY(UserFilter filter, UserFilter::Make(options.filter));
  std::unique_ptr<StreamSource> source(new StreamSource(std::move(filter), std::move(feed)));
  STENO_CHECK_OK(source->stop_.Open());
  STENO_TRY(source->handed_over_, MakeEvent());
  STENO_TRY(source->returned_, MakeEvent());
  STENO_TRY(Mapping memory, Mapping::Anonymous(size_t{options.block_bytes} * options.block_count));
  source->SetMemory(std::move(memory), options.block_bytes, options.block_count);
  source->origins_.resize(options.block_count);
  return source;
}

StreamSource::~StreamSource() {
  stop_.Request();
  if (thread_.joinable()) thread_.join();
}

Status StreamSource::OpenGate() {
  thread_ = std::thread([this] { Run(); });
  return {};
}

Status StreamSource::CloseGate() {
  stop_.Request();
  return {};
}

void StreamSource::Return(uint32_t block) {
  StatusWord(block).store(TP_STATUS_KERNEL, std::memory_order_release);
  Signal(returned_);
}

Result<SourceStatistics> StreamSource::ReadStatistics() {
  return SourceStatistics{.packets = packets_.exchange(0, std::memory_order_relaxed),
                          .drops = 0,
                          .freezes = freezes_.exchange(0, std::memory_order_relaxed),
                          .skipped = skipped_.exchange(0, std::memory_order_relaxed)};
}

Status StreamSource::Check(bool& lost) {
  lost = feed_->lost();
  return {};
}

Status StreamSource::outcome() const { return exhausted() ? feed_->outcome() : Fail(Stopped()); }

void StreamSource::Run() {
  ::pthread_setname_np(::pthread_self(), "read-0");
  while (auto stream = feed_->Next(stop_)) ReadStream(std::move(*stream));
  ended_.store(true, std::memory_order_release);
  Signal(handed_over_);
}

void StreamSource::ReadStream(PacketStream stream) {
  counts_ = {};
  origin_ = stream.origin;
  stream_name_ = stream.name;
  Status how;
  if (auto reader = OpenPcapInput(std::make_unique<Input>(*this, std::move(stream.fd)), stream.name)) {
    how = ReadPackets(**reader);
  } else {
    how = Fail(std::move(reader).error());
  }
  HandOver();
  feed_->Ended(how, counts_);
}

Status StreamSource::ReadPackets(PcapReader& reader) {
  while (true) {
    STENO_TRY(const CapturedPacket* packet, reader.Next());
    if (packet == nullptr) return {};
    if (!Take(*packet)) return Fail(Stopped());
  }
}

Result<size_t> StreamSource::ReadBytes(int fd, std::span<uint8_t> into) {
  while (!stop_.requested()) {
    int timeout_ms = -1;
    if (!filler_.idle()) {
      const int64_t left_ns = opened_ns_ + kHandOverNs - MonotonicNs();
      if (left_ns <= 0) HandOver();
      if (left_ns > 0) timeout_ms = static_cast<int>(left_ns / kNsPerMs) + 1;
    }
    if (!stop_.WaitFor(fd, POLLIN, timeout_ms)) continue;
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR && errno != EAGAIN) return Fail(Error::System("read"));
  }
  return Fail(Stopped());
}

// False if it was stopped.
bool StreamSource::Take(const CapturedPacket& packet) {
  if (packet.link_type != kLinkTypeEthernet) {
    SkipForeign(packet);
    return !stop_.requested();
  }
  const auto frame = filter_.Apply(packet.frame, packet.original_bytes);
  if (!frame) {
    ++counts_.filtered;
    return true;
  }
  const PacketToFill fitting = Fit(packet, *frame);
  if (filler_.idle() || !filler_.Add(fitting)) {
    HandOver();
    if (!BeginBlock()) return false;
    STENO_CHECK(filler_.Add(fitting));
  }
  ++filled_;
  ++counts_.recorded;
  return true;
}

void StreamSource::SkipForeign(const CapturedPacket& packet) {
  if (counts_.foreign++ == 0) counts_.foreign_link_type = packet.link_type;
  skipped_.fetch_add(1, std::memory_order_relaxed);
  if (!foreign_log_.Allow(MonotonicNs())) return;
  STENO_WARN("{}: a packet of link type {} is left out, and {} before it: expected Ethernet (link type 1)",
             stream_name_, packet.link_type, counts_.foreign - 1);
}

PacketToFill StreamSource::Fit(const CapturedPacket& packet, std::span<const uint8_t> frame) {
  const uint32_t room = BlockFiller::MaxFrame(block_bytes());
  if (frame.size() > room) {
    ++counts_.cut;
    frame = frame.first(room);
  }
  constexpr int64_t kLastNs = kMaxSeconds * kNsPerSecond + kNsPerSecond - 1;
  const int64_t time_ns = std::clamp<int64_t>(packet.time_ns, 0, kLastNs);
  if (time_ns != packet.time_ns) ++counts_.untimely;
  return {.seconds = static_cast<uint32_t>(time_ns / kNsPerSecond),
          .nanoseconds = static_cast<uint32_t>(time_ns % kNsPerSecond),
          .original_bytes = packet.original_bytes,
          .interface_index = origin_.interface_index,
          .frame = frame};
}

// Waits until the next block is back; false if it was stopped.
bool StreamSource::BeginBlock() {
  const auto is_back = [this] {
    return StatusWord(next_).load(std::memory_order_acquire) == TP_STATUS_KERNEL;
  };
  if (!is_back()) freezes_.fetch_add(1, std::memory_order_relaxed);
  while (!is_back()) {
    if (stop_.requested()) return false;
    static_cast<void>(stop_.WaitFor(returned_.get(), POLLIN, -1));
    Clear(returned_);
  }
  filler_.Begin(Block(next_), sequence_++, WallNs());
  origins_[next_] = origin_;
  opened_ns_ = MonotonicNs();
  return true;
}

void StreamSource::HandOver() {
  if (filler_.idle()) return;
  filler_.Finish();
  packets_.fetch_add(std::exchange(filled_, 0), std::memory_order_relaxed);
  StatusWord(next_).store(TP_STATUS_USER, std::memory_order_release);
  next_ = next_ + 1 == block_count() ? 0 : next_ + 1;
  Signal(handed_over_);
}

}  // namespace steno
