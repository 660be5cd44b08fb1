// Classic BPF programs for a packet socket: from the hexadecimal text of --filter, and the small ones of our
// own.
//
// Pure functions. The text is what `tcpdump -ddd` prints without its first line (the count), each instruction
// printed as %04x%02x%02x%08x: code, jump if true, jump if false, operand. The kernel checks the program when
// it is attached.
#pragma once

#include <linux/filter.h>

#include <string_view>
#include <vector>

#include "base/result.h"
#include "capture/capture_options.h"

namespace steno {

using FilterProgram = std::vector<sock_filter>;

// An empty text is an empty program (every packet).
Result<FilterProgram> ParseFilterHex(std::string_view text);

// `program` behind a test of the packet's direction. A test inside the program works where the socket option
// PACKET_IGNORE_OUTGOING does not: a fanout group ignores the option of its members.
FilterProgram RestrictDirection(FilterProgram program, Direction direction);

// Lets nothing pass.
FilterProgram DropAllProgram();

}  // namespace steno
