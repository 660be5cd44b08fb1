// IndexDigest: what of a sealed index is worth keeping in memory, to know without reading it, or after one
// small read, that an address is in none of its packets: the fences of its address pages, and its address
// filters.
//
// Plain data; const calls are thread-safe. Filters are 1.5 bytes an address, fences about a fiftieth of that.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "index/sealed_format.h"
#include "packet/address.h"

namespace steno {

class SealedFile;

class IndexDigest {
 public:
  // Knows nothing: every address may be there.
  IndexDigest() = default;

  // kInvalid for a raw index.
  static Result<IndexDigest> Read(const SealedFile& file);

  // False if no packet of the file has this address. From memory.
  [[nodiscard]] bool MayHold(const Address& address) const;
  // The same, exactly. Reads a page of the index at `path`, which must be the one that the digest is of.
  [[nodiscard]] Result<bool> Holds(const std::string& path, const Address& address) const;

  // MayHold() knows little, Holds() is worth a read.
  [[nodiscard]] bool has_filters() const { return has_filters_; }
  [[nodiscard]] bool empty() const { return !conclusive_; }
  void DropFilters();

  [[nodiscard]] uint64_t bytes() const;

 private:
  // Which of the families' filters.
  static size_t FamilyOf(const Address& address) { return address.family == 4 ? 0 : 1; }
  Status ReadFilter(const SealedFile& file, SectionId id, uint32_t blocks, std::vector<uint8_t>& filter);

  bool conclusive_ = false;  // an address that is not there is in no packet
  bool has_filters_ = false;
  uint64_t pages_offset_ = 0;  // in the file
  uint64_t pages_bytes_ = 0;
  std::vector<AddressFence> fences_;
  std::array<std::vector<uint8_t>, 2> filters_;  // IPv4, IPv6
};

}  // namespace steno
