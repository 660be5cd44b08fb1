#include "pcap/pcap_reader.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "pcap/classic_reader.h"
#include "pcap/pcap_format.h"
#include "pcap/pcap_writer.h"
#include "pcap/pcapng_reader.h"

namespace steno {

namespace {

uint16_t Read16(const uint8_t* from, bool swapped) {
  return swapped ? LoadBe<uint16_t>(from) : LoadLe<uint16_t>(from);
}
uint32_t Read32(const uint8_t* from, bool swapped) {
  return swapped ? LoadBe<uint32_t>(from) : LoadLe<uint32_t>(from);
}

}  // namespace

Result<std::unique_ptr<PcapReader>> ClassicReader::Open(ByteSource source, bool swapped, bool nanoseconds) {
  STENO_TRY(const auto header, source.Take(kPcapFileHeaderBytes - 4, "the pcap file header"));
  const uint16_t major = Read16(header.data(), swapped);
  if (major != pcap_format::kMajor) {
    return Fail(Error::Unsupported(
        fmt::format("{}: pcap format version {}: expected {}", source.name(), major, pcap_format::kMajor)));
  }
  std::unique_ptr<ClassicReader> reader(new ClassicReader(std::move(source), swapped, nanoseconds));
  // The upper bits of the field say how long the frame check sequence is.
  reader->packet_.link_type = static_cast<uint16_t>(Read32(header.data() + 16, swapped));
  return reader;
}

Result<const CapturedPacket*> ClassicReader::Next() {
  STENO_TRY(const bool at_end, source_.AtEnd());
  if (at_end) return nullptr;
  const uint64_t offset = source_.offset();
  STENO_TRY(const auto header, source_.Take(kPcapRecordHeaderBytes, "a record header"));
  const int64_t seconds = Read32(header.data(), swapped_);
  const int64_t fraction = Read32(header.data() + 4, swapped_);
  const uint32_t captured = Read32(header.data() + 8, swapped_);
  packet_.time_ns = seconds * kNsPerSecond + fraction * (nanoseconds_ ? 1 : kNsPerUs);
  packet_.original_bytes = Read32(header.data() + 12, swapped_);
  if (captured > pcap_format::kMaxPacketBytes) {
    return Fail(source_.Corrupt(offset, fmt::format("a packet of {} captured bytes: expected at most {}",
                                                    captured, pcap_format::kMaxPacketBytes)));
  }
  STENO_TRY(packet_.frame, source_.Take(captured, "a packet"));
  return &packet_;
}

Result<std::unique_ptr<PcapReader>> OpenPcapInput(std::unique_ptr<ByteInput> input, const std::string& name) {
  ByteSource source(std::move(input), name);
  STENO_TRY(const auto bytes, source.Peek(4, "the magic number of a pcap or pcapng file"));
  const auto magic = LoadLe<uint32_t>(bytes.data());
  if (magic == pcap_format::kSectionHeader) return PcapngReader::Open(std::move(source));
  STENO_CHECK_OK(source.Skip(4, "the magic number"));
  for (const bool swapped : {false, true}) {
    const uint32_t native = swapped ? SwapBytes(magic) : magic;
    if (native == pcap_format::kMagicMicroseconds)
      return ClassicReader::Open(std::move(source), swapped, false);
    if (native == pcap_format::kMagicNanoseconds)
      return ClassicReader::Open(std::move(source), swapped, true);
  }
  return Fail(
      Error::Unsupported(fmt::format("{}: not a pcap or pcapng file: it starts with {:#010x}", name, magic)));
}

Result<std::unique_ptr<PcapReader>> OpenPcapFd(UniqueFd fd, const std::string& name) {
  return OpenPcapInput(std::make_unique<FdInput>(std::move(fd)), name);
}

Result<std::unique_ptr<PcapReader>> OpenPcap(const std::string& path) {
  if (path != "-") {
    STENO_TRY(UniqueFd fd, OpenFile(path, O_RDONLY));
    return OpenPcapFd(std::move(fd), path);
  }
  UniqueFd input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  if (!input.valid()) return Fail(Error::System("standard input"));
  return OpenPcapFd(std::move(input), "standard input");
}

}  // namespace steno
