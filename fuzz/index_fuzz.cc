// Index files: whatever the bytes, opening and asking ends with an answer or an error, and so does sealing a
// raw one. Checksums are not verified, so that changes reach what lies behind them.
//
// Links: steno_index steno_testing
//
// Input: an index file. The questions are fixed.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/file.h"
#include "index/index_digest.h"
#include "index/raw_index.h"
#include "index/sealed_file.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "testing/temp_dir.h"

namespace {

using steno::Address;
using steno::Term;
using steno::TermKind;

// Asks for the flows of a term and for their granules.
void Ask(const steno::FlowIndex& index, const Term& term) {
  const auto match = index.Match(term);
  if (!match) return;
  STENO_CHECK(match->may.size() == index.flow_count());
  steno::FlowSet both = match->may;
  both.And(match->must);
  STENO_CHECK(both.Count() == match->must.Count());  // must is a subset of may
  const auto granules = index.Granules(match->may);
  if (!granules) return;
  for (const uint32_t granule : *granules) (void)index.FirstPacket(granule);
}

void AskAll(const steno::FlowIndex& index) {
  for (unsigned kind = 0; kind <= static_cast<unsigned>(TermKind::kMac); ++kind) {
    Term term;
    term.kind = static_cast<TermKind>(kind);
    term.side = static_cast<steno::Side>(kind % 4);
    term.layer_kinds = static_cast<uint8_t>(1 + kind % 7);
    term.first = 6;
    term.last = 443;
    for (const Address& address : {Address::V4(0x0a000001), Address::V6(0x20010db800000000, 1)}) {
      for (const unsigned bits : {0u, 8u, address.family == 4 ? 32u : 128u}) {
        term.addresses = steno::Prefix(address, bits);
        Ask(index, term);
        if (term.kind != TermKind::kAddress) break;
      }
    }
  }
}

// What would be kept of the index in memory.
void AskDigest(const std::string& path) {
  const auto file = steno::SealedFile::Open(path, false);
  if (!file) return;
  const auto digest = steno::IndexDigest::Read(**file);
  if (!digest) return;
  for (const Address& address : {Address::V4(0x0a000001), Address::V6(0x20010db800000000, 1)}) {
    (void)digest->MayHold(address);
    (void)digest->Holds(path, address);
  }
}

void SealRaw(const std::string& path) {
  auto file = steno::SealedFile::Open(path, false);
  if (!file || !(*file)->raw()) return;
  const auto raw = steno::RawSegment::Load(std::move(*file));
  if (!raw) return;
  static const steno::testing::TempDir directory;
  static steno::Sealer sealer = steno::Sealer::Create().value();
  (void)sealer.Seal((*raw)->snapshot(), directory.path(), "1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const steno::UniqueFd file(::memfd_create("index", MFD_CLOEXEC));
  STENO_CHECK(file.valid());
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if (!steno::WriteFully(file.get(), {data, size}, 0, path)) return 0;
  (void)steno::ReadIndexSummary(path);
  if (const auto index = steno::OpenSealedIndex(path, false)) AskAll(**index);
  AskDigest(path);
  SealRaw(path);
  return 0;
}
