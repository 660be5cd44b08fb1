// SealedFile: checked access to the sections of an index file. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "index/byte_stream.h"
#include "index/sealed_format.h"
#include "packet/address.h"

namespace steno {

class SealedFile {
 public:
  // `verify_checksums` is false only in tests and fuzzing, which want to see what lies behind the checksums.
  static Result<std::unique_ptr<SealedFile>> Open(const std::string& path, bool verify_checksums = true);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const IndexFooter& footer() const { return footer_; }
  [[nodiscard]] bool raw() const { return (footer_.flags & kIndexRaw) != 0; }
  [[nodiscard]] uint64_t SectionBytes(SectionId id) const { return Entry(id).bytes; }

  // Where a section is in the file.
  [[nodiscard]] uint64_t SectionOffset(SectionId id) const { return Entry(id).offset; }

  // A whole section (empty if the file has none), read once and kept.
  Result<std::span<const uint8_t>> Section(SectionId id) const;

  // A part of a section, not kept; the caller checks it with CheckPart().
  Result<Bytes> ReadPart(SectionId id, uint64_t offset, uint64_t bytes) const;
  Status CheckPart(std::span<const uint8_t> part, uint32_t crc, std::string_view what) const;

  [[nodiscard]] Error Corrupt(std::string_view what) const;

 private:
  SealedFile(std::string path, UniqueFd fd, bool verify)
      : path_(std::move(path)), fd_(std::move(fd)), verify_(verify) {}
  Status ReadFooter();
  Status CheckTable(std::span<const uint8_t> table);
  Status Read(std::span<uint8_t> bytes, uint64_t offset) const;
  [[nodiscard]] const SectionEntry& Entry(SectionId id) const { return entries_[static_cast<size_t>(id)]; }

  static constexpr size_t kSections = static_cast<size_t>(SectionId::kCount) + 1;

  std::string path_;
  UniqueFd fd_;
  bool verify_;
  uint64_t size_ = 0;
  IndexFooter footer_{};
  std::array<SectionEntry, kSections> entries_{};
  Bytes tail_;  // the file's last bytes: one read gives the footer and the small sections before it
  mutable std::mutex mutex_;
  mutable std::array<std::optional<Bytes>, kSections> loaded_;  // guarded by mutex_; never changed once set
};

// The fences of the address pages.
Result<std::vector<AddressFence>> ReadFences(const SealedFile& file);

inline Address FirstAddress(const AddressFence& fence) {
  return {static_cast<uint8_t>(fence.family), fence.address_high, fence.address_low};
}

}  // namespace steno
