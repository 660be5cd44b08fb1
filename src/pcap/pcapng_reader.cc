#include "pcap/pcapng_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/clock.h"
#include "pcap/pcap_format.h"

namespace steno {

namespace {

using Wide = unsigned __int128;

size_t Padded(size_t bytes) { return static_cast<size_t>(AlignUp(bytes, 4)); }

Wide PowerOfTen(unsigned exponent) {
  Wide power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

// `units` of if_tsresol `resolution` in nanoseconds.
Wide ScaleToNanoseconds(uint64_t units, uint8_t resolution) {
  const unsigned exponent = resolution & 0x7fu;
  if ((resolution & 0x80) != 0) return Wide{units} * static_cast<uint64_t>(kNsPerSecond) >> exponent;
  if (exponent <= 9) return units * PowerOfTen(9 - exponent);
  return exponent - 9 > 19 ? 0 : units / PowerOfTen(exponent - 9);  // 10^20 exceeds any 64-bit number
}

}  // namespace

uint16_t PcapngReader::U16(const uint8_t* from) const {
  return swapped_ ? LoadBe<uint16_t>(from) : LoadLe<uint16_t>(from);
}
uint32_t PcapngReader::U32(const uint8_t* from) const {
  return swapped_ ? LoadBe<uint32_t>(from) : LoadLe<uint32_t>(from);
}
uint64_t PcapngReader::U64(const uint8_t* from) const {
  return swapped_ ? LoadBe<uint64_t>(from) : LoadLe<uint64_t>(from);
}

Result<std::unique_ptr<PcapReader>> PcapngReader::Open(ByteSource source) {
  std::unique_ptr<PcapngReader> reader(new PcapngReader(std::move(source)));
  STENO_CHECK_OK(reader->ReadBlock());
  return reader;
}

Result<const CapturedPacket*> PcapngReader::Next() {
  while (true) {
    STENO_TRY(const bool at_end, source_.AtEnd());
    if (at_end) return nullptr;
    STENO_TRY(const Block block, ReadBlock());
    switch (block.type) {
      case pcap_format::kInterface:
        STENO_CHECK_OK(ReadInterface(block));
        break;
      case pcap_format::kEnhancedPacket:
        STENO_CHECK_OK(ReadEnhanced(block));
        return &packet_;
      case pcap_format::kObsoletePacket:
        STENO_CHECK_OK(ReadObsolete(block));
        return &packet_;
      case pcap_format::kSimplePacket:
        STENO_CHECK_OK(ReadSimple(block));
        return &packet_;
      default:
        break;
    }
  }
}

Result<PcapngReader::Block> PcapngReader::ReadBlock() {
  Block block;
  block.offset = source_.offset();
  STENO_TRY(const auto header, source_.Peek(pcap_format::kBlockHeaderBytes, "a block header"));
  block.type = U32(header.data());
  if (block.type == pcap_format::kSectionHeader) {
    STENO_CHECK_OK(ReadSectionHeader(block.offset));
    return block;
  }
  const uint32_t length = U32(header.data() + 4);
  constexpr size_t kAround = pcap_format::kBlockHeaderBytes + pcap_format::kBlockTrailerBytes;
  if (length < kAround || length % 4 != 0) {
    return Fail(source_.Corrupt(
        block.offset,
        fmt::format("a block of {} bytes: expected a multiple of 4, at least {}", length, kAround)));
  }
  const bool wanted = block.type == pcap_format::kInterface || block.type == pcap_format::kEnhancedPacket ||
                      block.type == pcap_format::kObsoletePacket || block.type == pcap_format::kSimplePacket;
  if (!wanted) {
    STENO_CHECK_OK(source_.Skip(length, "a block"));
    return block;
  }
  if (length > pcap_format::kMaxBlockBytes) {
    return Fail(source_.Corrupt(block.offset, fmt::format("a block of {} bytes: expected at most {}", length,
                                                          pcap_format::kMaxBlockBytes)));
  }
  STENO_TRY(const auto whole, source_.Take(length, "a block"));
  const uint32_t again = U32(whole.data() + length - pcap_format::kBlockTrailerBytes);
  if (again != length) {
    return Fail(source_.Corrupt(
        block.offset,
        fmt::format("a block of {} bytes ends with the length {}: expected the same", length, again)));
  }
  block.body = whole.subspan(pcap_format::kBlockHeaderBytes, length - kAround);
  return block;
}

// Sets the byte order of the section. Its length field is not needed: sections follow one another.
Status PcapngReader::ReadSectionHeader(uint64_t offset) {
  static constexpr size_t kFixedBytes = 24;  // type, length, byte order, version (2 + 2), section length (8)
  static constexpr uint32_t kMinBytes = kFixedBytes + pcap_format::kBlockTrailerBytes;
  STENO_TRY(const auto header, source_.Take(kFixedBytes, "a section header"));
  const auto order = LoadLe<uint32_t>(header.data() + 8);
  if (order != pcap_format::kByteOrderMagic && SwapBytes(order) != pcap_format::kByteOrderMagic) {
    return Fail(source_.Corrupt(
        offset, fmt::format("byte order {:#010x}: expected {:#010x}", order, pcap_format::kByteOrderMagic)));
  }
  swapped_ = order != pcap_format::kByteOrderMagic;
  const uint32_t length = U32(header.data() + 4);
  if (length < kMinBytes || length % 4 != 0) {
    return Fail(source_.Corrupt(
        offset, fmt::format("a section header of {} bytes: expected a multiple of 4, at least {}", length,
                            kMinBytes)));
  }
  const uint16_t major = U16(header.data() + 12);
  if (major != 1) {
    return Fail(
        Error::Unsupported(fmt::format("{}: pcapng format version {}: expected 1", source_.name(), major)));
  }
  interfaces_.clear();
  return source_.Skip(length - kFixedBytes, "a section header");
}

// Body: link type, 2 reserved bytes, snap length; then options.
Status PcapngReader::ReadInterface(const Block& block) {
  if (block.body.size() < 8)
    return Fail(source_.Corrupt(block.offset, "an interface block without its fields"));
  if (interfaces_.size() == pcap_format::kMaxInterfaces) {
    return Fail(
        source_.Corrupt(block.offset, "more interfaces than this reader takes in one section: 65536"));
  }
  Interface interface;
  interface.link_type = U16(block.body.data());
  interface.snaplen = U32(block.body.data() + 4);
  std::span<const uint8_t> options = block.body.subspan(8);
  while (options.size() >= 4) {
    const uint16_t code = U16(options.data());
    const uint16_t bytes = U16(options.data() + 2);
    options = options.subspan(4);
    if (code == pcap_format::kOptionEnd) break;
    if (options.size() < Padded(bytes))
      return Fail(source_.Corrupt(block.offset, "an option ends outside its block"));
    if (code == pcap_format::kOptionTimeResolution && bytes == 1) interface.resolution = options[0];
    if (code == pcap_format::kOptionTimeOffset && bytes == 8) {
      interface.offset_s = static_cast<int64_t>(U64(options.data()));
    }
    options = options.subspan(Padded(bytes));
  }
  interfaces_.push_back(interface);
  return {};
}

// Body: interface (4), time (4 + 4), captured and original length, data, options.
Status PcapngReader::ReadEnhanced(const Block& block) {
  if (block.body.size() < 20)
    return Fail(source_.Corrupt(block.offset, "an enhanced packet block without its fields"));
  return SetPacket(block, U32(block.body.data()), 4, 20);
}

// Body: interface (2), drops (2), then as above.
Status PcapngReader::ReadObsolete(const Block& block) {
  if (block.body.size() < 20) return Fail(source_.Corrupt(block.offset, "a packet block without its fields"));
  return SetPacket(block, U16(block.body.data()), 4, 20);
}

// Body: original length, data. No time; the interface is the first one.
Status PcapngReader::ReadSimple(const Block& block) {
  if (block.body.size() < 4 || interfaces_.empty()) {
    return Fail(
        source_.Corrupt(block.offset, "a simple packet block without its fields or without an interface"));
  }
  const Interface& interface = interfaces_[0];
  const uint32_t original = U32(block.body.data());
  size_t captured = interface.snaplen == 0 ? original : std::min(original, interface.snaplen);
  if (captured > block.body.size() - 4 || captured > pcap_format::kMaxPacketBytes) {
    return Fail(source_.Corrupt(block.offset, fmt::format("a packet of {} bytes in a block with room for {}",
                                                          captured, block.body.size() - 4)));
  }
  packet_ = {.time_ns = 0,
             .original_bytes = original,
             .interface = 0,
             .link_type = interface.link_type,
             .frame = block.body.subspan(4, captured)};
  return {};
}

Status PcapngReader::SetPacket(const Block& block, uint32_t interface, size_t times_at, size_t data_at) {
  const uint8_t* times = block.body.data() + times_at;
  const uint32_t captured = U32(times + 8);
  const std::span<const uint8_t> rest = block.body.subspan(data_at);
  if (interface >= interfaces_.size()) {
    return Fail(source_.Corrupt(
        block.offset,
        fmt::format("a packet of interface {}: the section has {} so far", interface, interfaces_.size())));
  }
  if (captured > rest.size() || captured > pcap_format::kMaxPacketBytes) {
    return Fail(source_.Corrupt(
        block.offset,
        fmt::format("a packet of {} captured bytes: the block has room for {}, and {} are taken at most",
                    captured, rest.size(), pcap_format::kMaxPacketBytes)));
  }
  const uint64_t units = uint64_t{U32(times)} << 32 | U32(times + 4);
  STENO_TRY(packet_.time_ns, ToNanoseconds(block, interfaces_[interface], units));
  packet_.original_bytes = U32(times + 12);
  packet_.interface = interface;
  packet_.link_type = interfaces_[interface].link_type;
  packet_.frame = rest.first(captured);
  return {};
}

Result<int64_t> PcapngReader::ToNanoseconds(const Block& block, const Interface& interface,
                                            uint64_t units) const {
  const __int128 time = static_cast<__int128>(ScaleToNanoseconds(units, interface.resolution)) +
                        static_cast<__int128>(interface.offset_s) * kNsPerSecond;
  if (time < INT64_MIN || time > INT64_MAX) {
    return Fail(source_.Corrupt(block.offset, "a time outside of the years 1677 to 2262"));
  }
  return static_cast<int64_t>(time);
}

}  // namespace steno
