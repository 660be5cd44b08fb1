// Indexes of the incumbent: whatever the bytes, opening and asking ends with an answer or an error.
//
// Links: steno_index steno_testing
//
// Input: a table of LevelDB. The blocks and the questions are fixed.
#include <sys/mman.h>

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/file.h"
#include "index/google_v2.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using steno::Term;
  using steno::TermKind;
  const steno::UniqueFd file(::memfd_create("index", MFD_CLOEXEC));
  STENO_CHECK(file.valid());
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if (!steno::WriteFully(file.get(), {data, size}, 0, path)) return 0;
  std::vector<steno::BlockEntry> blocks(4);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].file_offset = i << 20;
    blocks[i].used_bytes = 1 << 20;
    blocks[i].packet_count = static_cast<uint32_t>(i);
  }
  (void)steno::IsLevelDbTable(path);
  if (auto marked = steno::MarkGoogleUnindexed(path, blocks)) blocks = std::move(*marked);
  const auto index = steno::OpenGoogleIndex(path, blocks);
  if (!index) return 0;
  for (unsigned kind = 0; kind <= static_cast<unsigned>(TermKind::kMac); ++kind) {
    for (const unsigned family : {4u, 6u}) {
      Term term;
      term.kind = static_cast<TermKind>(kind);
      term.first = 1;
      term.last = 4000;
      term.addresses = family == 4 ? steno::Prefix(steno::Address::V4(0x0a000001), 8)
                                   : steno::Prefix(steno::Address::V6(0x20010db800000000, 1), 32);
      const auto match = (*index)->Match(term);
      if (!match) continue;
      const auto granules = (*index)->Granules(match->may);
      STENO_CHECK(granules.has_value());
      for (const uint32_t granule : *granules) (void)(*index)->FirstPacket(granule);
    }
  }
  return 0;
}
