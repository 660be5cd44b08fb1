// The clock of a network interface: whether its time stamps can be had for every packet, and are worth
// having.
//
// Sources: Documentation/networking/timestamping.rst, <linux/net_tstamp.h>, <linux/ethtool.h>;
// Documentation/driver-api/ptp.rst for reading a hardware clock through clock_gettime(2).
#pragma once

#include <string>

#include "base/result.h"
#include "capture/capture_options.h"

namespace steno {

// Prepares the interface for what `wanted` says and logs which clock it will be; true: the NIC's. Turning a
// NIC's stamps on needs CAP_NET_ADMIN and lasts beyond this process. kNic: an error says what is missing.
// kAuto takes the kernel's clock where something is missing, also where the NIC's own clock is wrong: packet
// times are compared with the system's time by every query, file name and limit of age.
Result<bool> UseNicClock(TimestampSource wanted, const std::string& interface_name);

}  // namespace steno
