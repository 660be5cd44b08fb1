#include "index/granule_table.h"

#include "index/packed_column.h"
#include "index/segment.h"

namespace steno {

Bytes EncodeGranules(std::span<const uint16_t> first_packets) {
  std::vector<uint32_t> values;
  values.reserve(first_packets.size());
  uint32_t all_offsets = 0;
  for (const uint16_t offset : first_packets) {
    const bool none = offset >= kGranuleBytes;
    values.push_back(none ? 0 : offset + 1u);
    if (!none) all_offsets |= offset;
  }
  const unsigned shift = all_offsets % 8 == 0 ? 3 : 0;
  for (uint32_t& value : values) value = value == 0 ? 0 : ((value - 1) >> shift) + 1;
  Bytes out{static_cast<uint8_t>(shift)};
  const Bytes column = EncodeColumn(values);
  out.insert(out.end(), column.begin(), column.end());
  return out;
}

Result<std::vector<uint16_t>> DecodeGranules(std::span<const uint8_t> bytes, uint32_t count) {
  if (bytes.empty() || bytes[0] > 3) return Fail(Error::Corrupt("granules: no such unit"));
  const unsigned shift = bytes[0];
  ColumnDecoder column(bytes.subspan(1), count);
  std::vector<uint16_t> first_packets;
  first_packets.reserve(count);
  while (first_packets.size() < count) {
    STENO_TRY(const auto block, column.Next());
    for (const uint32_t value : block) {
      const uint64_t offset = (uint64_t{value} - 1) << shift;
      if (value != 0 && offset >= kGranuleBytes) return Fail(Error::Corrupt("granules: offset outside"));
      first_packets.push_back(value == 0 ? kNoPacketInGranule : static_cast<uint16_t>(offset));
    }
  }
  return first_packets;
}

}  // namespace steno
