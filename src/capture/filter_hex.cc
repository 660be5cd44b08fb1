#include "capture/filter_hex.h"

#include <fmt/format.h>
#include <linux/if_packet.h>

#include <algorithm>
#include <charconv>

namespace steno {
namespace {

constexpr uint32_t kWholePacket = 0x40000;  // above any packet's length, as tcpdump's programs return it

sock_filter Statement(uint16_t code, uint32_t operand) {
  return {.code = code, .jt = 0, .jf = 0, .k = operand};
}

Result<uint32_t> ParseField(std::string_view digits, size_t position) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error == std::errc{} && end == digits.data() + digits.size()) return value;
  return Fail(
      Error::Invalid(fmt::format("--filter: '{}' at character {} is not hexadecimal", digits, position + 1)));
}

Result<sock_filter> ParseInstruction(std::string_view text, size_t at) {
  STENO_TRY(const uint32_t code, ParseField(text.substr(at, 4), at));
  STENO_TRY(const uint32_t if_true, ParseField(text.substr(at + 4, 2), at + 4));
  STENO_TRY(const uint32_t if_false, ParseField(text.substr(at + 6, 2), at + 6));
  STENO_TRY(const uint32_t operand, ParseField(text.substr(at + 8, 8), at + 8));
  return sock_filter{.code = static_cast<uint16_t>(code),
                     .jt = static_cast<uint8_t>(if_true),
                     .jf = static_cast<uint8_t>(if_false),
                     .k = operand};
}

}  // namespace

Result<FilterProgram> ParseFilterHex(std::string_view text) {
  if (text.size() % kInstructionDigits != 0) {
    return Fail(Error::Invalid(fmt::format(
        "--filter: {} characters, expected a multiple of {} (each line of tcpdump -ddd as %04x%02x%02x%08x)",
        text.size(), kInstructionDigits)));
  }
  if (text.size() / kInstructionDigits > BPF_MAXINSNS) {
    return Fail(Error::Invalid(fmt::format("--filter: {} instructions, the kernel takes at most {}",
                                           text.size() / kInstructionDigits, BPF_MAXINSNS)));
  }
  FilterProgram program;
  for (size_t at = 0; at < text.size(); at += kInstructionDigits) {
    STENO_TRY(const sock_filter instruction, ParseInstruction(text, at));
    program.push_back(instruction);
  }
  return program;
}

FilterProgram RestrictDirection(FilterProgram program, Direction direction) {
  if (direction == Direction::kBoth) return program;
  const bool keep_outgoing = direction == Direction::kOut;
  FilterProgram whole;
  whole.push_back(Statement(BPF_LD | BPF_B | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE)));
  // Jumps over the return that drops the packet.
  whole.push_back({.code = BPF_JMP | BPF_JEQ | BPF_K,
                   .jt = static_cast<uint8_t>(keep_outgoing ? 1 : 0),
                   .jf = static_cast<uint8_t>(keep_outgoing ? 0 : 1),
                   .k = PACKET_OUTGOING});
  whole.push_back(Statement(BPF_RET | BPF_K, 0));
  if (program.empty()) program.push_back(Statement(BPF_RET | BPF_K, kWholePacket));
  whole.insert(whole.end(), program.begin(), program.end());
  return whole;
}

Result<FilterProgram> LimitLength(FilterProgram program, uint32_t snaplen) {
  if (program.empty()) return FilterProgram{Statement(BPF_RET | BPF_K, snaplen)};
  for (sock_filter& instruction : program) {
    if (BPF_CLASS(instruction.code) != BPF_RET) continue;
    if (BPF_RVAL(instruction.code) != BPF_K) {
      return Fail(Error::Unsupported(
          "--snaplen: the program of --filter computes its answer, so that it cannot be limited"));
    }
    instruction.k = std::min(instruction.k, snaplen);
  }
  return program;
}

FilterProgram DropAllProgram() { return {Statement(BPF_RET | BPF_K, 0)}; }

}  // namespace steno
