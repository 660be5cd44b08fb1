// ClassicReader: the records of a classic pcap file. Internal; see pcap_reader.h.
#pragma once

#include <memory>

#include "pcap/byte_source.h"
#include "pcap/pcap_reader.h"

namespace steno {

class ClassicReader final : public PcapReader {
 public:
  // `source` is behind the magic number.
  static Result<std::unique_ptr<PcapReader>> Open(ByteSource source, bool swapped, bool nanoseconds);

  Result<const CapturedPacket*> Next() override;

 private:
  ClassicReader(ByteSource source, bool swapped, bool nanoseconds)
      : source_(std::move(source)), swapped_(swapped), nanoseconds_(nanoseconds) {}

  ByteSource source_;
  bool swapped_;
  bool nanoseconds_;
  CapturedPacket packet_;
};

}  // namespace steno
