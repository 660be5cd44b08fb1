#include "index/sealed_file.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/file.h"
#include "index/sealed_index.h"
#include "storage/block_format.h"

namespace steno {
namespace {

constexpr uint64_t kTailBytes = 8192;

}  // namespace

Result<std::unique_ptr<SealedFile>> SealedFile::Open(const std::string& path, bool verify_checksums) {
  STENO_TRY(UniqueFd fd, OpenFile(path, O_RDONLY | O_NONBLOCK));
  std::unique_ptr<SealedFile> file(new SealedFile(path, std::move(fd), verify_checksums));
  STENO_CHECK_OK(file->ReadFooter());
  return file;
}

Error SealedFile::Corrupt(std::string_view what) const {
  return Error::Corrupt(fmt::format("index {}: {}", path_, what));
}

Status SealedFile::ReadFooter() {
  STENO_TRY(size_, FileSize(fd_.get(), path_));
  if (size_ < sizeof(IndexHeader) + sizeof(IndexFooter)) {
    return Fail(Corrupt(fmt::format("{} bytes are too short for an index", size_)));
  }
  tail_.resize(std::min(size_, kTailBytes));
  STENO_CHECK_OK(ReadFully(fd_.get(), tail_, size_ - tail_.size(), path_));
  std::memcpy(&footer_, tail_.data() + tail_.size() - sizeof footer_, sizeof footer_);
  if (footer_.magic != kIndexMagic)
    return Fail(Corrupt("no index footer (magic STNINDX1 expected at its end)"));
  if (footer_.version != kIndexVersion) {
    return Fail(Error::Unsupported(fmt::format("index {}: version {}, this program reads version {}", path_,
                                               footer_.version, kIndexVersion)));
  }
  const uint64_t table_bytes = footer_.section_count * uint64_t{sizeof(SectionEntry)};
  if (table_bytes > tail_.size() - sizeof footer_) return Fail(Corrupt("impossible number of sections"));
  const std::span<const uint8_t> table(tail_.data() + tail_.size() - sizeof footer_ - table_bytes,
                                       table_bytes);
  IndexFooter unsigned_footer = footer_;
  unsigned_footer.crc = 0;
  const uint32_t crc =
      Crc32c({reinterpret_cast<const uint8_t*>(&unsigned_footer), sizeof unsigned_footer}, Crc32c(table));
  if (verify_ && crc != footer_.crc) return Fail(Corrupt("the footer's checksum is wrong"));
  if (verify_ && footer_.index_bytes != size_) {
    return Fail(Corrupt(fmt::format("{} bytes long, {} expected", size_, footer_.index_bytes)));
  }
  return CheckTable(table);
}

Status SealedFile::CheckTable(std::span<const uint8_t> table) {
  const uint64_t plain_flows = uint64_t{footer_.v4_flows} + footer_.v6_flows;
  if (footer_.flows > kMaxIndexFlows || plain_flows > footer_.flows ||
      footer_.granules > kMaxFileBytes / kGranuleBytes) {
    return Fail(Corrupt("impossible number of flows or granules"));
  }
  for (size_t at = 0; at < table.size(); at += sizeof(SectionEntry)) {
    SectionEntry entry;
    std::memcpy(&entry, table.data() + at, sizeof entry);
    if (entry.offset > size_ || entry.bytes > size_ - entry.offset || entry.bytes > kMaxSectionBytes) {
      return Fail(Corrupt(fmt::format("section {} lies outside the file", entry.id)));
    }
    if (entry.id < kSections) entries_[entry.id] = entry;
  }
  return {};
}

Status SealedFile::Read(std::span<uint8_t> bytes, uint64_t offset) const {
  const uint64_t tail_offset = size_ - tail_.size();
  if (offset >= tail_offset) {
    std::copy_n(tail_.data() + (offset - tail_offset), bytes.size(), bytes.data());
    return {};
  }
  return ReadFully(fd_.get(), bytes, offset, path_);
}

Result<std::span<const uint8_t>> SealedFile::Section(SectionId id) const {
  const SectionEntry& entry = Entry(id);
  if (entry.bytes == 0) return std::span<const uint8_t>{};
  std::lock_guard lock(mutex_);
  auto& loaded = loaded_[static_cast<size_t>(id)];
  if (!loaded) {
    Bytes bytes(entry.bytes);
    STENO_CHECK_OK(Read(bytes, entry.offset));
    STENO_CHECK_OK(CheckPart(bytes, entry.crc, fmt::format("section {}", entry.id)));
    loaded = std::move(bytes);
  }
  return std::span<const uint8_t>(*loaded);
}

Result<Bytes> SealedFile::ReadPart(SectionId id, uint64_t offset, uint64_t bytes) const {
  const SectionEntry& entry = Entry(id);
  if (offset > entry.bytes || bytes > entry.bytes - offset) {
    return Fail(Corrupt(fmt::format("section {}: a part of it lies outside", static_cast<uint32_t>(id))));
  }
  Bytes part(bytes);
  STENO_CHECK_OK(Read(part, entry.offset + offset));
  return part;
}

Status SealedFile::CheckPart(std::span<const uint8_t> part, uint32_t crc, std::string_view what) const {
  if (!verify_ || Crc32c(part) == crc) return {};
  return Fail(Corrupt(fmt::format("{}: its checksum is wrong", what)));
}

Result<std::vector<AddressFence>> ReadFences(const SealedFile& file) {
  STENO_TRY(const auto bytes, file.Section(SectionId::kAddressFences));
  std::vector<AddressFence> fences(bytes.size() / sizeof(AddressFence));
  if (bytes.size() != fences.size() * sizeof(AddressFence))
    return Fail(file.Corrupt("address fences: broken length"));
  if (!bytes.empty()) std::memcpy(fences.data(), bytes.data(), bytes.size());
  return fences;
}

Result<IndexSummary> ReadIndexSummary(const std::string& path, IndexDigest* digest) {
  STENO_TRY(const auto file, SealedFile::Open(path));
  if (digest != nullptr) {
    auto read = IndexDigest::Read(*file);
    *digest = read ? std::move(*read) : IndexDigest();
  }
  const IndexFooter& footer = file->footer();
  return IndexSummary{.file_id = footer.file_id,
                      .file_tag = footer.file_tag,
                      .first_ns = footer.first_ns,
                      .last_ns = footer.last_ns,
                      .packets = footer.packets,
                      .packet_file_bytes = footer.packet_file_bytes,
                      .index_bytes = footer.index_bytes,
                      .flows = footer.flows,
                      .pairs_when_full = footer.pairs_when_full,
                      .raw = file->raw()};
}

}  // namespace steno
