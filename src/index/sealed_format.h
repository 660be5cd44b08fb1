// The sealed index file: constants and layouts shared by its writer and its reader. docs/FORMAT.md is the
// prose twin.
//
//   header (64 bytes) | sections, one after another | section table | footer (128 bytes)
// Readers start at the footer. Integers are little-endian. Every byte that a reader uses is covered by a
// CRC-32C, but nothing is trusted for that: a checksum only tells accidents.
#pragma once

#include <cstdint>

namespace steno {

inline constexpr uint64_t kIndexMagic = 0x3158444E494E5453;  // "STNINDX1" in file order
inline constexpr uint32_t kIndexVersion = 2;

struct IndexHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t crc;  // of the 64 bytes with this field 0
  uint64_t file_id;
  uint64_t file_tag;
  uint8_t reserved[32];
};
static_assert(sizeof(IndexHeader) == 64);

enum class SectionId : uint32_t {
  kServices = 1,        // dictionary of (protocol, service port)
  kServiceCodes = 2,    // column: place in kServices, per plain flow
  kOtherPorts = 3,      // column: the other port, per plain flow
  kVlans = 4,           // column: VLAN id + 1, or 0 without a tag, per plain flow
  kGeneralKeys = 5,     // keys of the other flows
  kOpenFlows = 6,       // flows that can match any term, because not all of their headers are in the index
  kPostings = 7,        // granules per flow
  kPostingGroups = 8,   // where each group of flows starts in kPostings
  kAddressPages = 9,    // sorted addresses, and the flows in which they occur
  kAddressFences = 10,  // first address of each page
  kBloomV4 = 11,        // filter over the IPv4 addresses
  kBloomV6 = 12,        // and over the IPv6 addresses
  kGranules = 13,       // column: first packet per granule
  kBlocks = 14,         // the file's blocks
  kRawFlows = 15,       // a raw index has these four and the two before, and no others: arrays of the segment
  kRawKeys = 16,
  kRawPairs = 17,
  kRawGranuleStarts = 18,
  kCount = kRawGranuleStarts,
};

struct SectionEntry {
  uint32_t id;   // SectionId; each at most once, unknown ones are ignored, missing ones are empty
  uint32_t crc;  // of the whole section
  uint64_t offset;
  uint64_t bytes;
};
static_assert(sizeof(SectionEntry) == 24);

// Flows are numbered: plain IPv4 flows, by (first address, second address); plain IPv6 flows, likewise; all
// others, by key. The first address of a flow is the lower one.
struct IndexFooter {
  uint64_t file_id;
  uint64_t file_tag;
  int64_t first_ns;  // earliest and latest packet time
  int64_t last_ns;
  uint64_t packets;
  uint64_t packet_file_bytes;
  uint64_t index_bytes;  // size of this file
  uint32_t flows;
  uint32_t v4_flows;
  uint32_t v6_flows;
  uint32_t addresses;
  uint32_t granules;
  uint32_t blocks;
  uint32_t section_count;
  uint32_t bloom_v4_blocks;
  uint32_t bloom_v6_blocks;
  uint32_t flags;  // kIndexRaw, kIndexOpen
  // Where blocks are unindexed: the pairs of flow and granule that were taken until it was full. Else 0.
  uint32_t pairs_when_full;
  uint8_t reserved[12];
  uint32_t crc;  // of section table and footer with this field 0
  uint32_t version;
  uint64_t magic;
};
static_assert(sizeof(IndexFooter) == 128);

// Flags of an index.
inline constexpr uint32_t kIndexRaw = 1;   // a segment as it was in memory, to be scanned, and sealed later
inline constexpr uint32_t kIndexOpen = 2;  // not all is known: there are open flows or unindexed blocks

// A page of addresses of one family, and behind it their references: the flows in which they occur other than
// as first address. Both can be read and checked on their own.
struct AddressFence {
  uint64_t address_high;  // the page's first address
  uint64_t address_low;
  uint32_t family;  // 4 or 6
  uint32_t entries;
  uint32_t first_flow;   // the first flow whose first address is in this page or a later one
  uint32_t page_offset;  // in kAddressPages
  uint32_t page_bytes;
  uint32_t page_crc;
  uint32_t references_bytes;
  uint32_t references_crc;
};
static_assert(sizeof(AddressFence) == 48);

struct PostingGroup {
  uint32_t offset;  // in kPostings; the group ends where the next begins
  uint32_t crc;
};
static_assert(sizeof(PostingGroup) == 8);

struct ServiceEntry {
  uint16_t port;  // 0 without ports
  uint8_t protocol;
  uint8_t has_ports;  // 0 or 1
};
static_assert(sizeof(ServiceEntry) == 4);

inline constexpr uint32_t kAddressPageBytes = 4096;
inline constexpr uint32_t kFlowsPerPostingGroup = 128;
inline constexpr uint32_t kGeneralKeyRestart = 64;  // every so many keys one is written whole
// The filter is stored in pages that are read and checked one by one: up to 127 blocks and their CRC-32C.
inline constexpr uint32_t kBloomBlocksPerPage = 127;

// Limits that a reader enforces before it takes memory.
inline constexpr uint32_t kMaxIndexFlows = 1 << 24;
inline constexpr uint64_t kMaxSectionBytes = uint64_t{256} << 20;

}  // namespace steno
