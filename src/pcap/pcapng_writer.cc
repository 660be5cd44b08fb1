#include "pcap/pcapng_writer.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "pcap/pcap_format.h"

namespace steno {
namespace {

constexpr size_t kMaxTextBytes = 1000;
constexpr uint8_t kNanoseconds = 9;  // if_tsresol: 10^-9 s

template <class T>
void Put(std::string& out, T value) {
  std::array<char, sizeof value> bytes;
  StoreLe(bytes.data(), value);
  out.append(bytes.data(), bytes.size());
}

void Pad(std::string& out, size_t written) { out.append(AlignUp(written, 4) - written, '\0'); }

void PutOption(std::string& out, uint16_t code, std::string_view value) {
  value = value.substr(0, kMaxTextBytes);
  Put(out, code);
  Put(out, static_cast<uint16_t>(value.size()));
  out += value;
  Pad(out, value.size());
}

void PutCount(std::string& out, uint16_t code, uint64_t count) {
  Put(out, code);
  Put(out, uint16_t{sizeof count});
  Put(out, count);
}

void EndOptions(std::string& out) { Put(out, uint32_t{pcap_format::kOptionEnd}); }

// High half first, whatever the byte order.
void PutTime(std::string& out, int64_t time_ns) {
  const auto time = static_cast<uint64_t>(std::max<int64_t>(time_ns, 0));
  Put(out, static_cast<uint32_t>(time >> 32));
  Put(out, static_cast<uint32_t>(time));
}

// Writes type and length, which End() completes.
class Block {
 public:
  Block(std::string& out, uint32_t type) : out_(out), begin_(out.size()) {
    Put(out_, type);
    Put(out_, uint32_t{0});
  }
  void End() {
    const auto total = static_cast<uint32_t>(out_.size() - begin_ + pcap_format::kBlockTrailerBytes);
    Put(out_, total);
    StoreLe(out_.data() + begin_ + 4, total);
  }

 private:
  std::string& out_;
  size_t begin_;
};

}  // namespace

void AppendPcapngHeader(std::string& out) {
  Block block(out, pcap_format::kSectionHeader);
  Put(out, pcap_format::kByteOrderMagic);
  Put(out, uint16_t{1});  // version 1.0
  Put(out, uint16_t{0});
  Put(out, UINT64_MAX);  // the section's length is not known
  PutOption(out, pcap_format::kOptionApplication, "stenographer");
  EndOptions(out);
  block.End();
}

void AppendPcapngInterface(std::string& out, const PcapngInterface& interface) {
  Block block(out, pcap_format::kInterface);
  Put(out, interface.link_type);
  Put(out, uint16_t{0});
  Put(out, interface.snaplen);
  if (!interface.name.empty()) PutOption(out, pcap_format::kOptionName, interface.name);
  if (!interface.description.empty()) PutOption(out, pcap_format::kOptionDescription, interface.description);
  PutOption(out, pcap_format::kOptionTimeResolution, {reinterpret_cast<const char*>(&kNanoseconds), 1});
  EndOptions(out);
  block.End();
}

void AppendPcapngPacket(std::string& out, uint32_t interface, const PcapRecord& record,
                        std::string_view comment) {
  Block block(out, pcap_format::kEnhancedPacket);
  const PcapRecordSizes sizes = SizesOf(record);
  Put(out, interface);
  PutTime(out, record.time_ns);
  Put(out, sizes.captured);
  Put(out, sizes.original);
  AppendFrame(out, record);
  Pad(out, sizes.captured);
  if (!comment.empty()) {
    PutOption(out, pcap_format::kOptionComment, comment);
    EndOptions(out);
  }
  block.End();
}

void AppendPcapngStatistics(std::string& out, uint32_t interface, const PcapngStatistics& statistics) {
  Block block(out, pcap_format::kInterfaceStatistics);
  Put(out, interface);
  PutTime(out, statistics.time_ns);
  PutCount(out, pcap_format::kOptionDropped, statistics.dropped);
  PutCount(out, pcap_format::kOptionDelivered, statistics.delivered);
  EndOptions(out);
  block.End();
}

}  // namespace steno
