#include "capture/open_rings.h"

#include "base/log.h"
#include "capture/filter_expression.h"
#include "capture/network_interface.h"
#include "capture/nic_clock.h"
#include "capture/tpacket_ring.h"

namespace steno {
namespace {

Result<FilterProgram> WholeFilter(const CaptureOptions& options) {
  STENO_TRY(FilterProgram filter, MakeFilter(options.filter, options.interface_name));
  if (options.snaplen != 0) {
    STENO_TRY(filter, LimitLength(std::move(filter), options.snaplen));
  }
  return RestrictDirection(std::move(filter), options.direction);
}

}  // namespace

Result<std::vector<std::unique_ptr<PacketSource>>> OpenRings(const CaptureOptions& options) {
  // First, for its message: what follows would only say that it could not be opened.
  STENO_CHECK_OK(FindEthernetInterface(options.interface_name));
  RingOptions ring_options;
  ring_options.interface_name = options.interface_name;
  ring_options.block_bytes = options.block_kb * 1024;
  ring_options.block_count = options.blocks_per_thread();
  ring_options.promiscuous = options.promiscuous;
  STENO_TRY(ring_options.filter, WholeFilter(options));
  STENO_TRY(ring_options.nic_clock, UseNicClock(options.timestamp_source, options.interface_name));
  FanoutOptions fanout{.type = options.fanout_type, .id = {}};
  if (options.fanout_id != 0) fanout.id = options.fanout_id;
  std::vector<std::unique_ptr<PacketSource>> rings;
  for (unsigned index = 0; index < options.threads; ++index) {
    const unsigned thread = options.first_slot + index;
    STENO_TRY(std::unique_ptr<TPacketRing> ring, TPacketRing::Open(ring_options));
    if (options.threads > 1 || options.fanout_id != 0) {
      STENO_TRY(const uint16_t group, ring->JoinFanout(fanout));
      fanout.id = group;
      STENO_INFO("thread {}: fanout group {}, type {:#x}", thread, group, fanout.type);
    }
    STENO_INFO("thread {}: interface {}, ring of {} blocks of {} KiB", thread, options.interface_name,
               ring->block_count(), ring->block_bytes() / 1024);
    rings.push_back(std::move(ring));
  }
  return rings;
}

}  // namespace steno
