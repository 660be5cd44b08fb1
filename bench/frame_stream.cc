#include "frame_stream.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/bytes.h"
#include "base/check.h"
#include "packet/address.h"
#include "pcap/pcap_reader.h"
#include "testing/packet_builder.h"

namespace steno::bench {
namespace {

using testing::PacketBuilder;
using Frame = std::vector<uint8_t>;

constexpr int64_t kPacketIntervalNs = 700;
constexpr uint16_t kLinkTypeEthernet = 1;
constexpr size_t kEthernetBytes = 14;
constexpr size_t kIpv4SrcAt = kEthernetBytes + 12;
constexpr size_t kIpv6SrcAt = kEthernetBytes + 8;

// Hosts near the start of the network are in more conversations.
uint32_t RandomHost(std::mt19937_64& random) {
  const auto spread = static_cast<uint32_t>(random() % 15);
  return 0x0a000000u + static_cast<uint32_t>(random() % (2u << spread));
}

Frame MakeConversation(const Conversations& conversations, uint64_t number) {
  std::mt19937_64 random(number);
  const auto v6 = [&] { return ToString(Address::V6(0x20010db800000000, RandomHost(random))); };
  const auto v4 = [&] { return ToString(Address::V4(RandomHost(random))); };
  PacketBuilder builder;
  builder.Ethernet();
  if (conversations.vxlan) builder.Ipv4("172.16.0.1", "172.16.0.2").Vxlan(7).Ethernet();
  if (conversations.ipv6) {
    builder.Ipv6(v6(), v6());
  } else {
    builder.Ipv4(v4(), v4());
  }
  const std::array<uint16_t, 8> services{443, 443, 443, 80, 53, 22, 8080, static_cast<uint16_t>(random())};
  const auto port = static_cast<uint16_t>(32768 + random() % 28000);
  const uint16_t service = services[random() % services.size()];
  random() % 4 == 0 ? builder.Udp(port, service) : builder.Tcp(port, service);
  return builder.Build();
}

class ConversationTraffic final : public Traffic {
 public:
  explicit ConversationTraffic(const Conversations& conversations) : settings_(conversations) {
    for (uint32_t flow = 0; flow < settings_.flows; ++flow)
      headers_.push_back(MakeConversation(settings_, flow));
  }

  std::span<const uint8_t> Next() override {
    // Flows come and go: a window of them moves over all; within it a few have most of the packets.
    const uint64_t window = std::max<uint64_t>(1, settings_.flows / 10);
    const uint64_t step = count_++ % settings_.packets_per_round;
    const uint64_t base = step * (settings_.flows - window) / settings_.packets_per_round;
    const uint64_t skew = random_() % window * (random_() % window) / window;
    const Frame& header = headers_[base + skew];
    const size_t bytes = settings_.frame_bytes[random_() % settings_.frame_bytes.size()];
    frame_.assign(std::max(bytes, header.size()), 0);
    std::ranges::copy(header, frame_.begin());
    return frame_;
  }

 private:
  const Conversations settings_;
  std::vector<Frame> headers_;
  Frame frame_;
  std::mt19937_64 random_{1};
  uint64_t count_ = 0;
};

class FloodTraffic final : public Traffic {
 public:
  explicit FloodTraffic(bool ipv6)
      : source_at_(ipv6 ? kIpv6SrcAt : kIpv4SrcAt), source_bytes_(ipv6 ? 16 : 4) {
    PacketBuilder builder;
    builder.Ethernet();
    if (ipv6) {
      builder.Ipv6("2001:db8::1", "2001:db8::2");
    } else {
      builder.Ipv4("10.0.0.1", "10.0.0.2");
    }
    frame_ = builder.Tcp(1, 443, 2).Build();
    port_at_ = source_at_ + 2 * source_bytes_;
    frame_.resize(std::max<size_t>(frame_.size(), 60));
  }

  std::span<const uint8_t> Next() override {
    for (size_t at = 0; at < source_bytes_; at += 4)
      StoreLe(frame_.data() + source_at_ + at, static_cast<uint32_t>(random_()));
    StoreLe(frame_.data() + port_at_, static_cast<uint16_t>(random_()));
    return frame_;
  }

 private:
  const size_t source_at_;
  const size_t source_bytes_;
  size_t port_at_ = 0;
  Frame frame_;
  std::mt19937_64 random_{2};
};

class MixTraffic final : public Traffic {
 public:
  explicit MixTraffic(std::vector<Frame> frames) : frames_(std::move(frames)) {}

  std::span<const uint8_t> Next() override {
    if (next_ == frames_.size()) {
      next_ = 0;
      ++round_;
    }
    frame_ = frames_[next_++];
    const auto variation = static_cast<uint32_t>(round_ * 2654435761u & 0x00ffffffu);
    const bool ipv4 = frame_.size() >= kEthernetBytes + 20 && frame_[12] == 0x08 && frame_[13] == 0;
    for (size_t at = kIpv4SrcAt; ipv4 && at < kIpv4SrcAt + 8; at += 4)
      StoreBe(frame_.data() + at, LoadBe<uint32_t>(frame_.data() + at) ^ variation);
    return frame_;
  }

 private:
  const std::vector<Frame> frames_;
  Frame frame_;
  size_t next_ = 0;
  uint64_t round_ = 0;
};

struct TimedFrame {
  int64_t time_ns;
  Frame frame;
};

void ReadCapture(const std::string& path, std::vector<TimedFrame>& frames) {
  const auto reader = OpenPcap(path);
  if (!reader) return;
  for (auto packet = (*reader)->Next(); packet && *packet != nullptr; packet = (*reader)->Next()) {
    const CapturedPacket& captured = **packet;
    if (captured.link_type == kLinkTypeEthernet && captured.frame.size() >= kEthernetBytes)
      frames.push_back({captured.time_ns, {captured.frame.begin(), captured.frame.end()}});
  }
}

}  // namespace

TrafficPtr MakeConversations(const Conversations& conversations) {
  return std::make_unique<ConversationTraffic>(conversations);
}

TrafficPtr MakeFlood(bool ipv6) { return std::make_unique<FloodTraffic>(ipv6); }

TrafficPtr MakeMix(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code none;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, none))
    paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<TimedFrame> timed;
  for (const std::string& path : paths) ReadCapture(path, timed);
  if (timed.empty()) return nullptr;
  std::ranges::stable_sort(timed, {}, &TimedFrame::time_ns);
  std::vector<Frame> frames;
  for (TimedFrame& frame : timed) frames.push_back(std::move(frame.frame));
  return std::make_unique<MixTraffic>(std::move(frames));
}

std::string MixDirectory() {
  const char* given = std::getenv("STENO_CAPTURES");
  return given != nullptr ? given : STENO_SOURCE_DIR "/../shared/pcaps";
}

std::vector<uint32_t> ImixBytes() { return {60, 60, 60, 60, 60, 60, 60, 594, 594, 594, 594, 1514}; }

std::span<const uint8_t> BlockStream::Next() {
  block_.Clear();
  if (left_over_) STENO_CHECK(block_.Add(*left_over_, time_ns_));
  left_over_.reset();
  for (;;) {
    const std::span<const uint8_t> frame = traffic_->Next();
    time_ns_ += kPacketIntervalNs;
    if (block_.Add(frame, time_ns_)) continue;
    left_over_.emplace(frame.begin(), frame.end());
    break;
  }
  packets_ = block_.packets();
  return block_.Block();
}

}  // namespace steno::bench
