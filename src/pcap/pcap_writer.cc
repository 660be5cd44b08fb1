#include "pcap/pcap_writer.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/clock.h"
#include "packet/wire.h"
#include "pcap/pcap_format.h"

namespace steno {

namespace {

constexpr size_t kTagBytes = 4;
constexpr size_t kTagOffset = 2 * wire::kMacBytes;

// A tag has its place behind the two MAC addresses; a frame cut before has none.
bool RestoresTag(const PcapRecord& record) { return record.tag.present && record.frame.size() >= kTagOffset; }

size_t TagBytes(const PcapRecord& record) { return RestoresTag(record) ? kTagBytes : 0; }

size_t CapturedBytes(const PcapRecord& record) {
  return std::min<size_t>(record.frame.size() + TagBytes(record), kPcapSnaplen);
}

void Append(std::string& out, std::span<const uint8_t> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

void AppendPcapFileHeader(std::string& out, PcapResolution resolution, uint32_t link_type) {
  const bool micro = resolution == PcapResolution::kMicroseconds;
  std::array<uint8_t, kPcapFileHeaderBytes> header{};  // time zone and accuracy stay 0
  StoreLe(header.data(), micro ? pcap_format::kMagicMicroseconds : pcap_format::kMagicNanoseconds);
  StoreLe(header.data() + 4, pcap_format::kMajor);
  StoreLe(header.data() + 6, pcap_format::kMinor);
  StoreLe(header.data() + 16, kPcapSnaplen);
  StoreLe(header.data() + 20, link_type);
  Append(out, header);
}

PcapRecordSizes SizesOf(const PcapRecord& record) {
  const size_t captured = CapturedBytes(record);
  const size_t original = std::max<size_t>(captured, size_t{record.original_bytes} + TagBytes(record));
  return {static_cast<uint32_t>(captured), static_cast<uint32_t>(std::min<size_t>(original, UINT32_MAX))};
}

void AppendFrame(std::string& out, const PcapRecord& record) {
  const size_t captured = CapturedBytes(record);
  if (!RestoresTag(record)) return Append(out, record.frame.first(captured));
  std::array<uint8_t, kTagOffset + kTagBytes> head;
  uint8_t* at = std::copy_n(record.frame.data(), kTagOffset, head.data());
  StoreBe(at, record.tag.tpid);
  StoreBe(at + 2, record.tag.tci);
  Append(out, head);
  Append(out, record.frame.subspan(kTagOffset, captured - kTagOffset - kTagBytes));
}

void AppendPcapRecord(std::string& out, PcapResolution resolution, const PcapRecord& record) {
  const PcapRecordSizes sizes = SizesOf(record);
  const int64_t time_ns = std::max<int64_t>(record.time_ns, 0);  // the format has no time before 1970
  const int64_t fraction = time_ns % kNsPerSecond;
  std::array<uint8_t, kPcapRecordHeaderBytes> head;
  StoreLe(head.data(), static_cast<uint32_t>(time_ns / kNsPerSecond));
  StoreLe(head.data() + 4, static_cast<uint32_t>(
                               resolution == PcapResolution::kMicroseconds ? fraction / kNsPerUs : fraction));
  StoreLe(head.data() + 8, sizes.captured);
  StoreLe(head.data() + 12, sizes.original);
  Append(out, head);
  AppendFrame(out, record);
}

}  // namespace steno
