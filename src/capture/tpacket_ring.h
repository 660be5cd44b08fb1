// TPacketRing: a packet socket with a TPACKET_V3 ring in shared memory. The kernel fills blocks one after
// another; a block that is full, or that a timer cut after kRetireMs, belongs to the user until it is
// returned.
//
// Sources: Linux Documentation/networking/packet_mmap.rst, net/packet/af_packet.c, <linux/if_packet.h>.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "capture/filter_hex.h"
#include "capture/packet_source.h"

namespace steno {

// Below 100 ms, kernels from 6.18 on cut so many blocks short that the disk fills with padding (their timer
// runs freely).
inline constexpr unsigned kRetireMs = 100;

struct RingOptions {
  std::string interface_name;
  uint32_t block_bytes = kDefaultBlockBytes;  // multiple of the page size
  uint32_t block_count = 1024;
  bool promiscuous = true;
  FilterProgram filter;    // empty: every packet
  bool nic_clock = false;  // packets bear the time of the NIC's clock where it gave one
};

struct FanoutOptions {
  uint32_t type = kFanoutHash;  // with flags, as --fanout_type
  // Without: the kernel chooses a free one, which may be 0.
  std::optional<uint16_t> id;
};

class TPacketRing final : public PacketSource {
 public:
  // Needs CAP_NET_RAW. Takes fewer blocks (at least kMinRingBlocks) if the kernel has no memory for all, with
  // a warning.
  static Result<std::unique_ptr<TPacketRing>> Open(const RingOptions& options);

  // Joins or founds a fanout group and returns its number. Once, before OpenGate().
  Result<uint16_t> JoinFanout(const FanoutOptions& options);

  Status OpenGate() override;  // through the filter
  Status CloseGate() override;
  [[nodiscard]] int fd() const override { return socket_.get(); }
  void Return(uint32_t block) override;
  Result<SourceStatistics> ReadStatistics() override;
  // An interface that is only down comes back by itself. One that was removed is bound to again once there is
  // one of that name; the kernel refuses that to members of a fanout group: kStale.
  Status Check(bool& lost) override;
  // The kernel's timer has cut the last block by then.
  [[nodiscard]] int64_t last_block_ns() const override { return (kRetireMs + 50) * kNsPerMs; }
  [[nodiscard]] bool stamps_arrivals() const override { return !nic_clock_; }
  [[nodiscard]] BlockOrigin Origin(uint32_t) const override {
    return {static_cast<uint32_t>(interface_index_), interface_name_};
  }

 private:
  TPacketRing() = default;
  Status MakeRing(uint32_t block_bytes, uint32_t block_count);
  Status Bind();
  Status SetFilter(const FilterProgram& program);
  [[nodiscard]] bool InterfaceGone() const;

  UniqueFd socket_;  // the mapping keeps the ring alive by itself
  std::string interface_name_;
  FilterProgram filter_;
  bool promiscuous_ = true;
  bool nic_clock_ = false;
  int interface_index_ = 0;
};

inline constexpr uint32_t kMinRingBlocks = 8;

}  // namespace steno
