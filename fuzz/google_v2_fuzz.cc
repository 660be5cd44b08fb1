// Indexes of the incumbent: whatever the bytes, opening and asking ends with an answer or an error.
//
// Links: steno_index steno_testing
//
// Input: a table of LevelDB. The packet file and the questions are fixed.
#include <fcntl.h>
#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "index/google_v2.h"
#include "index/google_v2_table.h"
#include "testing/block_builder.h"
#include "testing/random_frames.h"
#include "testing/temp_dir.h"

namespace {

// Of four blocks, each with one frame of every shape.
steno::PacketFile MakePacketFile() {
  const steno::testing::TempDir temp;
  const std::string path = temp.path() + "/1";
  const steno::UniqueFd fd = steno::OpenFile(path, O_WRONLY | O_CREAT).value();
  for (uint64_t block = 0; block < 4; ++block) {
    steno::testing::BlockBuilder builder(1 << 20);
    for (const auto& frame : steno::testing::EveryFrame()) STENO_CHECK(builder.Add(frame, 1));
    STENO_CHECK(steno::WriteFully(fd.get(), builder.FinishForeign(), block << 20, path));
  }
  return steno::PacketFile::Open(path).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using steno::Term;
  using steno::TermKind;
  static const steno::PacketFile packets = MakePacketFile();
  static const steno::BlockTable table = packets.ListForeignBlocks().value();
  const steno::UniqueFd file(::memfd_create("index", MFD_CLOEXEC));
  STENO_CHECK(file.valid());
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if (!steno::WriteFully(file.get(), {data, size}, 0, path)) return 0;
  (void)steno::IsLevelDbTable(path);
  auto gaps = steno::FindGoogleGaps(path, packets, table.blocks);
  if (!gaps) {  // as if it had been found before
    gaps.emplace();
    gaps->blocks = table.blocks;
  }
  const auto index =
      steno::OpenGoogleIndex(path, std::make_shared<const steno::GoogleGaps>(std::move(*gaps)));
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
