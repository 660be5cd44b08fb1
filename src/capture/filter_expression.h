// The filter of a capture from what --filter says: an expression in tcpdump's language (pcap-filter(7)), or a
// compiled program in hexadecimal (capture/filter_hex.h).
#pragma once

#include <string>

#include "base/result.h"
#include "capture/filter_hex.h"

namespace steno {

// The program of `text` for packets of an Ethernet interface; empty for an empty text. Text of nothing but
// hexadecimal digits, a multiple of 16 of them, is a compiled program; everything else is an expression.
//
// An expression is compiled by libpcap against the interface itself, for which this opens it for a moment
// (needs CAP_NET_RAW): only then does libpcap know that the kernel takes VLAN tags out of frames, and `vlan`
// looks where they are. An interface that is down cannot be opened; expressions with `vlan` then fail. An
// empty name stands for frames with all their tags, as they are in files.
Result<FilterProgram> MakeFilter(const std::string& text, const std::string& interface_name);

}  // namespace steno
