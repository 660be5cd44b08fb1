#include "query/result_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "pcap/pcapng_writer.h"
#include "query/summary_json.h"

namespace steno {
namespace {

// In the order of ResultFormat.
constexpr std::array kNames = {
    std::pair{"pcap", ResultFormat::kPcap}, std::pair{"pcap-ns", ResultFormat::kPcapNs},
    std::pair{"pcapng", ResultFormat::kPcapng}, std::pair{"json", ResultFormat::kJson}};
constexpr uint16_t kEthernet = 1;

PcapResolution ResolutionOf(ResultFormat format) {
  return format == ResultFormat::kPcap ? PcapResolution::kMicroseconds : PcapResolution::kNanoseconds;
}

PcapRecord RecordOf(const PacketView& packet) {
  return {packet.time_ns, packet.original_bytes, packet.frame, packet.tag};
}

std::string DropComment(uint64_t drops) {
  if (drops == 0) return {};
  return fmt::format("{} {} dropped before this one", drops, drops == 1 ? "packet" : "packets");
}

}  // namespace

Result<ResultFormat> ParseResultFormat(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, [](const auto& entry) { return entry.first; });
  if (found != kNames.end()) return found->second;
  return Fail(Error::Invalid("expected pcap, pcap-ns, pcapng or json"));
}

std::string_view ToString(ResultFormat format) { return kNames.at(static_cast<size_t>(format)).first; }

ResultFormat FormatOfAccept(std::string_view accept) {
  while (!accept.empty()) {
    const std::string_view type = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(type.size() + 1, accept.size()));
    if (type.find("application/json") != type.npos) return ResultFormat::kJson;
    if (type.find("application/x-pcapng") != type.npos) return ResultFormat::kPcapng;
    if (type.find("application/vnd.tcpdump.pcap") != type.npos)
      return type.find("resolution=ns") == type.npos ? ResultFormat::kPcap : ResultFormat::kPcapNs;
  }
  return ResultFormat::kPcap;
}

const char* MediaType(ResultFormat format) {
  if (format == ResultFormat::kJson) return "application/json";
  return format == ResultFormat::kPcapng ? "application/x-pcapng" : "application/octet-stream";
}

uint32_t CapturedBytes(const PacketView& packet) { return SizesOf(RecordOf(packet)).captured; }

Status ResultEncoder::Add(const PacketView& packet, const PacketSource& source, std::string& out) {
  if (format_ == ResultFormat::kJson) {
    summary_.Add(packet);
    return {};
  }
  const uint16_t link_type = source.origin.link_type;
  if (!begun_) {
    Begin(link_type, out);
  } else if (format_ != ResultFormat::kPcapng && link_type != link_type_) {
    return Fail(Error::Unsupported(
        fmt::format("packets of link types {} and {} do not go into one pcap file: ask for pcapng",
                    link_type_, link_type)));
  }
  const PcapRecord record = RecordOf(packet);
  if (format_ != ResultFormat::kPcapng) {
    AppendPcapRecord(out, ResolutionOf(format_), record);
    return {};
  }
  const uint32_t interface = InterfaceOf(source, out);
  AppendPcapngPacket(out, interface, record, DropComment(source.drops_before));
  ++interfaces_[source.number].packets;
  last_ns_ = std::max(last_ns_, packet.time_ns);
  return {};
}

void ResultEncoder::Finish(std::span<const PacketSource> sources, std::string& out) {
  if (format_ == ResultFormat::kJson) {
    out += ToJson(summary_);
    return;
  }
  if (!begun_) Begin(kEthernet, out);
  if (format_ != ResultFormat::kPcapng) return;
  for (const PacketSource& source : sources) {
    const uint32_t interface = InterfaceOf(source, out);
    AppendPcapngStatistics(out, interface, {last_ns_, interfaces_[source.number].packets, source.drops});
  }
}

void ResultEncoder::Begin(uint16_t link_type, std::string& out) {
  begun_ = true;
  link_type_ = link_type;
  if (format_ == ResultFormat::kPcapng) {
    AppendPcapngHeader(out);
  } else {
    AppendPcapFileHeader(out, ResolutionOf(format_), link_type);
  }
}

uint32_t ResultEncoder::InterfaceOf(const PacketSource& source, std::string& out) {
  if (source.number >= interfaces_.size()) interfaces_.resize(source.number + 1);
  std::optional<uint32_t>& number = interfaces_[source.number].number;
  if (!number) {
    number = interfaces_written_++;
    const PacketOrigin& origin = source.origin;
    const std::string description = fmt::format("capture directory {}", origin.thread);
    AppendPcapngInterface(out, {origin.interface_name, description, origin.link_type, origin.snaplen});
  }
  return *number;
}

}  // namespace steno
