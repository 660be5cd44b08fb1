// TestSegment: a segment in private memory, built from packets, with everything that the tests compare it to.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "index/builder.h"
#include "index/live_index.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "packet/decode.h"
#include "packet/term.h"
#include "storage/packet_view.h"
#include "testing/block_builder.h"
#include "testing/packet_builder.h"
#include "testing/random_frames.h"

namespace steno::testing {

inline constexpr int64_t kTestStartNs = 1'700'000'000'000'000'000;

// How a test sees a packet that was added.
struct AddedPacket {
  PacketHeaders headers;
  uint64_t file_offset = 0;
};

class TestSegment {
 public:
  TestSegment()
      : memory_(Mapping::Anonymous(SegmentBytes()).value()), builder_(IndexBuilder::Create().value()) {
    segment_ = SegmentMemory::At(memory_.bytes());
    Start(1);
  }

  void Start(uint64_t file_id) {
    segment_.Reset(file_id, file_id * 7, ".123");
    builder_.Begin(&segment_);
    packets_.clear();
    bytes_.clear();
    sequence_ = 0;
  }

  // Adds a packet to the current block, which is ended first if it is full.
  void Add(const RandomFrame& frame) {
    time_ns_ += 1000;
    if (!block_.Add(frame.bytes, time_ns_, frame.tag)) {
      EndBlock();
      ASSERT_TRUE(block_.Add(frame.bytes, time_ns_, frame.tag));
    }
  }

  // Hands the current block to the builder; publishes it.
  BlockSummary EndBlock(uint32_t drops = 0) {
    const uint64_t offset = bytes_.size();
    const std::vector<uint8_t> used(block_.Block().begin(), block_.Block().end());
    const BlockSummary summary = builder_.AddBlock(used, offset, drops);
    PacketWalk walk(used, kFirstPacketOffset, used.size(), offset);
    while (const PacketView* packet = walk.Next()) {
      AddedPacket added;
      Decode(packet->frame, packet->tag, added.headers);
      added.file_offset = packet->file_offset;
      packets_.push_back(added);
    }
    const std::vector<uint8_t> padded = block_.Finish(file_id(), file_id() * 7, offset, sequence_, drops);
    bytes_.insert(bytes_.end(), padded.begin(), padded.end());
    block_.Clear();
    builder_.Publish(static_cast<uint32_t>(++sequence_));
    return summary;
  }

  [[nodiscard]] uint64_t file_id() const { return segment_.header->file_id; }
  [[nodiscard]] const SegmentMemory& segment() const { return segment_; }
  [[nodiscard]] IndexBuilder& builder() { return builder_; }
  [[nodiscard]] SegmentSnapshot Snapshot() const { return SegmentSnapshot::Take(segment_).value(); }
  [[nodiscard]] const std::vector<AddedPacket>& packets() const { return packets_; }
  [[nodiscard]] const std::vector<uint8_t>& file_bytes() const { return bytes_; }

 private:
  Mapping memory_;
  SegmentMemory segment_;
  IndexBuilder builder_;
  BlockBuilder block_;
  std::vector<AddedPacket> packets_;
  std::vector<uint8_t> bytes_;  // the packet file
  uint64_t sequence_ = 0;
  int64_t time_ns_ = kTestStartNs;
};

inline std::string RandomV4(std::mt19937_64& random) {
  return ToString(Address::V4(0x0a000000u + static_cast<uint32_t>(random() % 60000)));
}
inline std::string RandomV6(std::mt19937_64& random) {
  const uint64_t low = random() % 2 == 0 ? random() : random() % 100;
  return ToString(Address::V6(0x20010db800000000u + random() % 8, low));
}

// A frame with addresses from all over, unlike MakeRandomFrame(): mostly plain, some in tunnels or with tags.
inline RandomFrame MakeWideFrame(std::mt19937_64& random) {
  PacketBuilder builder;
  builder.Ethernet();
  if (random() % 16 == 0) builder.Vlan(static_cast<uint16_t>(random() % 4096));
  if (random() % 16 == 0) builder.Ipv4(RandomV4(random), RandomV4(random)).Gre();
  if (random() % 4 == 0) {
    builder.Ipv6(RandomV6(random), RandomV6(random));
  } else {
    builder.Ipv4(RandomV4(random), RandomV4(random));
  }
  const auto port = static_cast<uint16_t>(random() % 65536);
  const uint16_t service = PoolPorts()[random() % PoolPorts().size()];
  if (random() % 8 == 0) {
    builder.Icmp(8, 0);
  } else if (random() % 2 == 0) {
    builder.Tcp(port, service);
  } else {
    builder.Udp(service, port);
  }
  RandomFrame frame;
  frame.bytes = builder.Payload(random() % 400).Build();
  if (random() % 8 == 0) frame.tag = {true, static_cast<uint16_t>(random()), 0x8100};
  return frame;
}

inline Address RandomAddress(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return ParseAddress(PoolV4()[random() % PoolV4().size()]).value();
    case 1:
      return ParseAddress(PoolV6()[random() % PoolV6().size()]).value();
    case 2:
      return ParseAddress(RandomV4(random)).value();
    default:
      return ParseAddress(RandomV6(random)).value();
  }
}

// A term of any kind over the values of MakeRandomFrame() and MakeWideFrame().
inline Term MakeRandomTerm(std::mt19937_64& random) {
  Term term;
  term.kind = static_cast<TermKind>(random() % 8);
  term.side = static_cast<Side>(random() % 4);
  term.layer_kinds = static_cast<uint8_t>(random() % 2 == 0 ? kLayerBitsIp : random() % 8);
  const auto range = [&](uint32_t limit, uint32_t common) {
    term.first = random() % 4 == 0 ? static_cast<uint32_t>(random() % limit) : common;
    term.last = random() % 2 == 0
                    ? term.first
                    : static_cast<uint32_t>(std::min<uint64_t>(limit - 1, term.first + random() % limit));
  };
  switch (term.kind) {
    case TermKind::kAddress: {
      const Address address = RandomAddress(random);
      const unsigned bits = address.family == 4 ? 32 : 128;
      term.addresses =
          Prefix(address, random() % 2 == 0 ? bits : static_cast<unsigned>(random() % (bits + 1)));
      break;
    }
    case TermKind::kPort:
      range(65536, PoolPorts()[random() % PoolPorts().size()]);
      if (random() % 2 == 0) term.protocol = random() % 2 == 0 ? 6 : 17;
      break;
    case TermKind::kProtocol:
      range(256, std::vector<uint32_t>{1, 4, 6, 17, 47, 58, 132}[random() % 7]);
      break;
    case TermKind::kVlan:
      range(4096, static_cast<uint32_t>(random() % 4));
      break;
    case TermKind::kMpls:
      range(1 << 20, 16 + static_cast<uint32_t>(random() % 4));
      break;
    case TermKind::kEtherType:
      range(65536, std::vector<uint32_t>{0x0800, 0x86dd, 0x0806, 0x8847, 0}[random() % 5]);
      break;
    case TermKind::kMac:
      term.mac = {2, 0, 0, 0, 0, static_cast<uint8_t>(random() % 3)};
      break;
    case TermKind::kLayer:
      break;
  }
  return term;
}

}  // namespace steno::testing
