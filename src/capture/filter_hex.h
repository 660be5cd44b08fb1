// Classic BPF programs for a packet socket: from hexadecimal text, the small ones of our own, and what is put
// around a program.
//
// Pure functions. The text is what `tcpdump -ddd` prints without its first line (the count), each instruction
// printed as %04x%02x%02x%08x: code, jump if true, jump if false, operand. The kernel checks the program when
// it is attached.
#pragma once

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "capture/capture_options.h"

namespace steno {

using FilterProgram = std::vector<sock_filter>;

inline constexpr size_t kInstructionDigits = 16;  // of the text of one instruction

// An empty text is an empty program (every packet).
Result<FilterProgram> ParseFilterHex(std::string_view text);

// `program` behind a test of the packet's direction. A test inside the program works where the socket option
// PACKET_IGNORE_OUTGOING does not: a fanout group ignores the option of its members.
FilterProgram RestrictDirection(FilterProgram program, Direction direction);

// `program` with at most `snaplen` (not 0) as its answer: the kernel copies no more of a packet than the
// filter returns. kUnsupported for a program that computes its answer (BPF_RET | BPF_A), which no compiler
// makes.
Result<FilterProgram> LimitLength(FilterProgram program, uint32_t snaplen);

// Lets nothing pass.
FilterProgram DropAllProgram();

}  // namespace steno
