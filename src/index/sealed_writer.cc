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

constexpr size_t kBufferBytes = 256 << 10;

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
  writer.buffer_.reserve(kBufferBytes);
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

void SealedWriter::Begin(SectionId id) {
  section_ = {.id = static_cast<uint32_t>(id), .crc = 0, .offset = written_ + buffer_.size(), .bytes = 0};
}

void SealedWriter::Append(std::span<const uint8_t> piece) {
  section_.crc = Crc32c(piece, section_.crc);
  section_.bytes += piece.size();
  if (status_) status_ = Write(piece);
}

Status SealedWriter::End() {
  STENO_CHECK_OK(status_);
  if (section_.bytes > kMaxSectionBytes) {
    return Fail(Error::Exhausted(fmt::format("index section {}: {} bytes, at most {}", section_.id,
                                             section_.bytes, kMaxSectionBytes)));
  }
  if (section_.bytes > 0) table_.push_back(section_);
  return {};
}

Status SealedWriter::Add(SectionId id, std::span<const uint8_t> section) {
  Begin(id);
  Append(section);
  return End();
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
  if (buffer_.size() + bytes.size() > kBufferBytes) STENO_CHECK_OK(Flush());
  if (bytes.size() < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }
  STENO_CHECK_OK(WriteFully(fd_.get(), bytes, written_, HiddenPath()));
  written_ += bytes.size();
  return {};
}

Status SealedWriter::Flush() {
  STENO_CHECK_OK(WriteFully(fd_.get(), buffer_, written_, HiddenPath()));
  written_ += buffer_.size();
  buffer_.clear();
  return {};
}

}  // namespace steno
