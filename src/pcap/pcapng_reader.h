// PcapngReader: the packets of a pcapng file of any number of sections. Internal; see pcap_reader.h.
#pragma once

#include <memory>
#include <vector>

#include "pcap/byte_source.h"
#include "pcap/pcap_reader.h"

namespace steno {

class PcapngReader final : public PcapReader {
 public:
  // `source` is at the start of the file.
  static Result<std::unique_ptr<PcapReader>> Open(ByteSource source);

  Result<const CapturedPacket*> Next() override;

 private:
  struct Interface {
    uint16_t link_type = 1;
    uint8_t resolution = 6;  // bit 7 clear: units of 10^-n s, set: units of 2^-n s
    int64_t offset_s = 0;    // added to every time
    uint32_t snaplen = 0;    // 0: no limit
  };
  struct Block {
    uint32_t type = 0;
    uint64_t offset = 0;  // of the block in the file
    std::span<const uint8_t> body;
  };

  explicit PcapngReader(ByteSource source) : source_(std::move(source)) {}

  // Reads the block at hand whole, if this reader knows its type; else skips it and leaves the body empty.
  Result<Block> ReadBlock();
  Status ReadSectionHeader(uint64_t offset);
  Status ReadInterface(const Block& block);
  Status ReadEnhanced(const Block& block);
  Status ReadObsolete(const Block& block);
  Status ReadSimple(const Block& block);
  // Fills packet_ from the fields that enhanced and obsolete packet blocks share. `data` follows them in the
  // body.
  Status SetPacket(const Block& block, uint32_t interface, size_t times_at, size_t data_at);
  [[nodiscard]] Result<int64_t> ToNanoseconds(const Block& block, const Interface& interface,
                                              uint64_t units) const;

  [[nodiscard]] uint16_t U16(const uint8_t* from) const;
  [[nodiscard]] uint32_t U32(const uint8_t* from) const;
  [[nodiscard]] uint64_t U64(const uint8_t* from) const;

  ByteSource source_;
  bool swapped_ = false;
  std::vector<Interface> interfaces_;  // of this section
  CapturedPacket packet_;
};

}  // namespace steno
