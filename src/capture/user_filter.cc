#include "capture/user_filter.h"

#include <fmt/format.h>
#include <pcap/bpf.h>

#include <algorithm>
#include <cstddef>

namespace steno {
namespace {

// The two are laid out alike; only their names differ (<linux/filter.h>, <pcap/bpf.h>).
static_assert(sizeof(sock_filter) == sizeof(bpf_insn) && offsetof(sock_filter, k) == offsetof(bpf_insn, k));

const bpf_insn* AsPcap(const FilterProgram& program) {
  return reinterpret_cast<const bpf_insn*>(program.data());
}

// The kernel gives negative offsets a meaning of their own (SKF_AD_OFF, SKF_NET_OFF, SKF_LL_OFF).
bool LoadsMetadata(const sock_filter& instruction) {
  const unsigned code = instruction.code;
  const bool load = BPF_CLASS(code) == BPF_LD || BPF_CLASS(code) == BPF_LDX;
  const bool packet = BPF_MODE(code) == BPF_ABS || BPF_MODE(code) == BPF_IND || BPF_MODE(code) == BPF_MSH;
  return load && packet && static_cast<int32_t>(instruction.k) < 0;
}

}  // namespace

Result<UserFilter> UserFilter::Make(FilterProgram program) {
  if (program.empty()) return UserFilter({});
  if (std::ranges::any_of(program, LoadsMetadata)) {
    return Fail(
        Error::Invalid("--filter: the program asks for what only the kernel knows about a packet of an "
                       "interface; give the expression itself"));
  }
  if (bpf_validate(AsPcap(program), static_cast<int>(program.size())) == 0) {
    return Fail(
        Error::Invalid(fmt::format("--filter: {} instructions that are no sound BPF program "
                                   "(jumps forward and inside, a return at the end)",
                                   program.size())));
  }
  return UserFilter(std::move(program));
}

std::optional<std::span<const uint8_t>> UserFilter::Apply(std::span<const uint8_t> frame,
                                                          uint32_t original_bytes) const {
  if (program_.empty()) return frame;
  const uint32_t kept =
      bpf_filter(AsPcap(program_), frame.data(), original_bytes, static_cast<uint32_t>(frame.size()));
  if (kept == 0) return std::nullopt;
  return frame.first(std::min<size_t>(kept, frame.size()));
}

}  // namespace steno
