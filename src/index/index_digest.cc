#include "index/index_digest.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "index/address_dictionary.h"
#include "index/bloom.h"
#include "index/sealed_file.h"

namespace steno {

Result<IndexDigest> IndexDigest::Read(const SealedFile& file) {
  if (file.raw()) return Fail(Error::Invalid(fmt::format("index {}: is raw", file.path())));
  const IndexFooter& footer = file.footer();
  IndexDigest digest;
  if ((footer.flags & kIndexOpen) != 0) return digest;
  STENO_TRY(digest.fences_, ReadFences(file));
  STENO_CHECK_OK(digest.ReadFilter(file, SectionId::kBloomV4, footer.bloom_v4_blocks, digest.filters_[0]));
  STENO_CHECK_OK(digest.ReadFilter(file, SectionId::kBloomV6, footer.bloom_v6_blocks, digest.filters_[1]));
  digest.pages_offset_ = file.SectionOffset(SectionId::kAddressPages);
  digest.pages_bytes_ = file.SectionBytes(SectionId::kAddressPages);
  digest.conclusive_ = digest.has_filters_ = true;
  return digest;
}

// Takes the checksums out of a filter.
Status IndexDigest::ReadFilter(const SealedFile& file, SectionId id, uint32_t blocks,
                               std::vector<uint8_t>& filter) {
  const uint64_t pages = (uint64_t{blocks} + kBloomBlocksPerPage - 1) / kBloomBlocksPerPage;
  const uint64_t bytes = uint64_t{blocks} * kBloomBlockBytes + pages * sizeof(uint32_t);
  if (file.SectionBytes(id) != bytes) return Fail(file.Corrupt("address filter: broken length"));
  STENO_TRY(const Bytes section, file.ReadPart(id, 0, bytes));
  filter.reserve(uint64_t{blocks} * kBloomBlockBytes);
  constexpr size_t kPageBytes = size_t{kBloomBlocksPerPage} * kBloomBlockBytes;
  for (size_t at = 0; at < section.size();) {
    const auto page =
        std::span(section).subspan(at, std::min(kPageBytes, section.size() - at - sizeof(uint32_t)));
    at += page.size() + sizeof(uint32_t);
    STENO_CHECK_OK(
        file.CheckPart(page, LoadLe<uint32_t>(page.data() + page.size()), "page of the address filter"));
    filter.insert(filter.end(), page.begin(), page.end());
  }
  return {};
}

bool IndexDigest::MayHold(const Address& address) const {
  if (!conclusive_ || !has_filters_) return true;
  const auto& filter = filters_[FamilyOf(address)];
  if (filter.empty()) return false;
  const uint64_t hash = BloomHash(address);
  const auto blocks = static_cast<uint32_t>(filter.size() / kBloomBlockBytes);
  return BloomMayHold(std::span(filter).subspan(size_t{BloomBlock(hash, blocks)} * kBloomBlockBytes), hash);
}

Result<bool> IndexDigest::Holds(const std::string& path, const Address& address) const {
  if (!conclusive_) return true;
  // The last page that begins at the address or before it.
  auto fence = std::ranges::upper_bound(fences_, address, {}, FirstAddress);
  if (fence == fences_.begin()) return false;
  --fence;
  if (fence->family != address.family) return false;
  if (fence->page_bytes > kAddressPageBytes || fence->page_offset > pages_bytes_ ||
      fence->page_bytes > pages_bytes_ - fence->page_offset) {
    return Fail(Error::Corrupt(fmt::format("index {}: address page outside its section", path)));
  }
  STENO_TRY(const UniqueFd fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  std::array<uint8_t, kAddressPageBytes> memory;
  const auto page = std::span(memory).first(fence->page_bytes);
  STENO_CHECK_OK(ReadFully(fd.get(), page, pages_offset_ + fence->page_offset, path));
  if (Crc32c(page) != fence->page_crc)
    return Fail(Error::Corrupt(fmt::format("index {}: address page: its checksum is wrong", path)));
  return PageHolds(*fence, page, address);
}

void IndexDigest::DropFilters() {
  has_filters_ = false;
  filters_ = {};
}

uint64_t IndexDigest::bytes() const {
  return sizeof *this + fences_.capacity() * sizeof(AddressFence) + filters_[0].capacity() +
         filters_[1].capacity();
}

}  // namespace steno
