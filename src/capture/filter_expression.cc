#include "capture/filter_expression.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <span>
#include <string_view>

namespace steno {
namespace {

// What compiled programs return for a match: more than any packet has.
constexpr int kSnapLen = 262144;

using PcapHandle = std::unique_ptr<pcap_t, decltype(&pcap_close)>;

bool IsHexProgram(std::string_view text) {
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  return text.size() % kInstructionDigits == 0 && std::all_of(text.begin(), text.end(), is_hex);
}

bool HasWord(std::string_view text, std::string_view word) {
  const auto is_word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
  for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

Error FilterError(const std::string& text, std::string_view reason) {
  return Error::Invalid(fmt::format("--filter='{}': {}", text, reason));
}

// A handle that compiles for the packets that a ring on this interface gets.
Result<PcapHandle> OpenForCompiling(const std::string& text, const std::string& interface_name) {
  if (interface_name.empty()) return PcapHandle(pcap_open_dead(DLT_EN10MB, kSnapLen), &pcap_close);
  std::array<char, PCAP_ERRBUF_SIZE> reason{};
  PcapHandle handle(pcap_create(interface_name.c_str(), reason.data()), &pcap_close);
  if (!handle) return Fail(FilterError(text, reason.data()));
  pcap_set_snaplen(handle.get(), kSnapLen);
  const int activated = pcap_activate(handle.get());
  if (activated == PCAP_ERROR_IFACE_NOT_UP && !HasWord(text, "vlan")) {
    handle.reset(pcap_open_dead(DLT_EN10MB, kSnapLen));
    if (handle) return handle;
  }
  if (activated >= 0) return handle;  // above 0: warnings
  const std::string_view detail = handle ? pcap_geterr(handle.get()) : "";
  return Fail(
      FilterError(text, fmt::format("interface {} is needed to compile it: {}{}{}", interface_name,
                                    pcap_statustostr(activated), detail.empty() ? "" : ": ", detail)));
}

Result<FilterProgram> Compile(const std::string& text, const std::string& interface_name) {
  STENO_TRY(const PcapHandle handle, OpenForCompiling(text, interface_name));
  bpf_program compiled{};
  if (pcap_compile(handle.get(), &compiled, text.c_str(), /*optimize=*/1, PCAP_NETMASK_UNKNOWN) != 0) {
    return Fail(FilterError(text, pcap_geterr(handle.get())));
  }
  FilterProgram program;
  for (const bpf_insn& i : std::span(compiled.bf_insns, compiled.bf_len)) {
    program.push_back({.code = i.code, .jt = i.jt, .jf = i.jf, .k = i.k});
  }
  pcap_freecode(&compiled);
  return program;
}

}  // namespace

Result<FilterProgram> MakeFilter(const std::string& text, const std::string& interface_name) {
  return IsHexProgram(text) ? ParseFilterHex(text) : Compile(text, interface_name);
}

}  // namespace steno
