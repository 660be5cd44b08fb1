// The rings of a recorder, one per capture thread, on one interface: with the filter, the clock and the
// fanout group that the options ask for.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "capture/capture_options.h"
#include "capture/packet_source.h"

namespace steno {

// Needs CAP_NET_RAW, and CAP_NET_ADMIN where a NIC's clock is to be turned on. The rings are closed.
Result<std::vector<std::unique_ptr<PacketSource>>> OpenRings(const CaptureOptions& options);

}  // namespace steno
