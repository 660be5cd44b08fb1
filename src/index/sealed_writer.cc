#include "index/sealed_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <span>

#include "base/crc32c.h"
#include "base/file.h"

namespace steno {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

template <class T>
std::span<const uint8_t> BytesOf(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

// Creates and locks the hidden file. A stale one that nobody holds is replaced.
Result<UniqueFd> CreateLocked(const std::string& path) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!fd.valid()) return Fail(Error::System("create " + path));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return Fail(Error::System("lock " + path));
    struct stat file{};
    if (::fstat(fd.get(), &file) != 0) return Fail(Error::System("stat " + path));
    // Between open() and flock() a recovery may have removed it: then the name is free again.
    if (file.st_nlink == 0) continue;
    if (::ftruncate(fd.get(), 0) != 0) return Fail(Error::System("truncate " + path));
    return fd;
  }
  return Fail(Error::System("create " + path + ": removed again and again", EAGAIN));
}

}  // namespace

Result<SealedWriter> SealedWriter::Create(const std::string& directory, const std::string& name,
                                          uint64_t file_id, uint64_t file_tag) {
  SealedWriter writer(directory, name);
  STENO_TRY(writer.fd_, CreateLocked(writer.HiddenPath()));
  IndexHeader header{};
  header.magic = kIndexMagic;
  header.version = kIndexVersion;
  header.file_id = file_id;
  header.file_tag = file_tag;
  header.crc = Crc32c(BytesOf(header));
  STENO_CHECK_OK(writer.Write(BytesOf(header)));
  return writer;
}

SealedWriter::~SealedWriter() {
  if (fd_.valid()) ::unlink(HiddenPath().c_str());
}

Status SealedWriter::Add(SectionId id, const Bytes& section) {
  if (section.empty()) return {};
  if (section.size() > kMaxSectionBytes) {
    return Fail(Error::Exhausted(fmt::format("index section {}: {} bytes, at most {}",
                                             static_cast<uint32_t>(id), section.size(), kMaxSectionBytes)));
  }
  table_.push_back({.id = static_cast<uint32_t>(id),
                    .crc = Crc32c(section),
                    .offset = written_ + buffer_.size(),
                    .bytes = section.size()});
  return Write(section);
}

Status SealedWriter::Finish(IndexFooter footer) {
  footer.magic = kIndexMagic;
  footer.version = kIndexVersion;
  footer.section_count = static_cast<uint32_t>(table_.size());
  footer.index_bytes = written_ + buffer_.size() + table_.size() * sizeof(SectionEntry) + sizeof footer;
  footer.crc = 0;
  const std::span<const uint8_t> table(reinterpret_cast<const uint8_t*>(table_.data()),
                                       table_.size() * sizeof(SectionEntry));
  footer.crc = Crc32c(BytesOf(footer), Crc32c(table));
  STENO_CHECK_OK(Write(table));
  STENO_CHECK_OK(Write(BytesOf(footer)));
  STENO_CHECK_OK(Flush());
  STENO_CHECK_OK(SyncData(fd_.get(), HiddenPath()));
  STENO_CHECK_OK(RenameFile(HiddenPath(), directory_ + "/" + name_));
  fd_.reset();
  return SyncDirectory(directory_);
}

Status SealedWriter::Write(std::span<const uint8_t> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return buffer_.size() >= kBufferBytes ? Flush() : Status{};
}

Status SealedWriter::Flush() {
  STENO_CHECK_OK(WriteFully(fd_.get(), buffer_, written_, HiddenPath()));
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

}  // namespace steno
