// Classic pcap and pcapng input, any byte order, µs and ns; from a file or a pipe, one packet at a time.
//
// Not thread-safe. Input is untrusted: lengths are limited (256 KiB a packet) and checked; damage ends the
// reading with kCorrupt that names the byte offset. Sources: pcap-savefile(5); draft-ietf-opsawg-pcapng (SHB,
// IDB, EPB, SPB, the obsolete PB; options if_tsresol and if_tsoffset).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pcap/byte_input.h"

namespace steno {

struct CapturedPacket {
  int64_t time_ns = 0;  // since the epoch
  uint32_t original_bytes = 0;
  uint32_t interface = 0;  // pcapng interface number, else 0
  uint16_t link_type = 1;
  std::span<const uint8_t> frame;  // valid until the next call
};

class PcapReader {
 public:
  virtual ~PcapReader() = default;
  // The next packet, or null at the end of the input.
  virtual Result<const CapturedPacket*> Next() = 0;
};

// Tells the format by its magic number. "-" is standard input.
Result<std::unique_ptr<PcapReader>> OpenPcap(const std::string& path);
Result<std::unique_ptr<PcapReader>> OpenPcapFd(UniqueFd fd, const std::string& name);
// The bytes of a file from elsewhere. An error of the input itself becomes the reader's, behind the name.
Result<std::unique_ptr<PcapReader>> OpenPcapInput(std::unique_ptr<ByteInput> input, const std::string& name);

}  // namespace steno
