#include "storage/packet_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "storage/block_walk.h"
#include "storage/remove_file.h"

namespace steno {

void SealBlockHeader(BlockHeader& header) {
  header.header_crc = 0;
  header.header_crc = Crc32c({reinterpret_cast<const uint8_t*>(&header), sizeof header});
}

Status CheckBlockHeader(const BlockHeader& header, uint64_t file_offset, const BlockHeader* first_block) {
  const auto fail = [file_offset](const std::string& what) {
    return Fail(Error::Corrupt(fmt::format("block at byte {}: {}", file_offset, what)));
  };
  if (header.magic != kBlockMagic) return fail("no block header (magic STENBLK1 expected)");
  BlockHeader copy = header;
  SealBlockHeader(copy);
  if (copy.header_crc != header.header_crc) return fail("the header's checksum is wrong");
  if (header.version != kBlockVersion) {
    return fail(fmt::format("version {}, this program reads version {}", header.version, kBlockVersion));
  }
  if (header.file_offset != file_offset) {
    return fail(fmt::format("it was written for byte {} of its file", header.file_offset));
  }
  if (header.used_bytes < kFirstPacketOffset || header.used_bytes > kMaxBlockBytes ||
      header.disk_bytes != AlignUp(header.used_bytes, kDiskAlignment)) {
    return fail(fmt::format("impossible size {} in {}", header.used_bytes, header.disk_bytes));
  }
  if (first_block != nullptr &&
      (header.file_id != first_block->file_id || header.file_tag != first_block->file_tag)) {
    return fail("it belongs to another file");
  }
  return {};
}

Result<PacketFile> PacketFile::Open(const std::string& path) {
  // O_NONBLOCK: a FIFO under a packet file's name must not hold the caller.
  auto fd = OpenFile(path, O_RDONLY | O_NONBLOCK);
  if (!fd) {
    Error error = std::move(fd).error();
    if (error.sys_errno == ENOENT) error.code = ErrorCode::kNotFound;
    return Fail(std::move(error));
  }
  struct stat info{};
  if (::fstat(fd->get(), &info) != 0) return Fail(Error::System("stat " + path));
  if (!S_ISREG(info.st_mode)) return Fail(Error::Invalid(path + ": not a regular file"));
  // Removed while it was being opened: it may have been cut already (remove_file.h). One that loses its name
  // from here on stays whole.
  if (LostItsName(fd->get(), path)) return Fail(Error::NotFound("open " + path + ": removed meanwhile"));
  // No read-ahead, from the first read on (its effects outlive a later change of mind): it would fill the
  // page cache with zeros of the preallocated rest of a file, which SEEK_DATA then takes for data, whose
  // reading brings in more: gigabytes of nothing. Queries read in pieces of their own choice.
  ::posix_fadvise(fd->get(), 0, 0, POSIX_FADV_RANDOM);
  return PacketFile(path, std::move(*fd), static_cast<uint64_t>(info.st_size));
}

int PacketFile::DirectFd() {
  if (!direct_fd_) {
    // By its descriptor: it may have another name by now, or none.
    auto fd = OpenFile(fmt::format("/proc/self/fd/{}", fd_.get()), O_RDONLY | O_DIRECT);
    direct_fd_ = fd ? std::move(*fd) : UniqueFd();
  }
  return direct_fd_->get();
}

Status PacketFile::Read(std::span<uint8_t> bytes, uint64_t offset) const {
  return ReadFully(fd(), bytes, offset, path_);
}

Result<BlockTable> PacketFile::WalkBlocks(uint64_t limit) const {
  STENO_TRY(const uint64_t size, FileSize(fd(), path_));
  const uint64_t end = std::min(size, limit);
  std::vector<uint8_t> start(std::min<uint64_t>(end, kFirstPacketOffset));
  STENO_TRY(const size_t got, ReadSome(fd(), start, 0, path_));
  start.resize(got);
  auto table = LooksForeign(start) ? WalkForeignBlocks(fd(), path_, end) : WalkOwnBlocks(fd(), path_, end);
  STENO_CHECK_OK(CheckWhole());
  return table;
}

Status PacketFile::CheckWhole() const {
  STENO_TRY(const uint64_t size, FileSize(fd(), path_));
  // A file that keeps its name may become shorter, too: recovery cuts off what a crash left behind it.
  if (size >= size_ || !LostItsName(fd(), path_)) return {};
  return Fail({.code = ErrorCode::kIo,
               .message = path_ + ": its rest was deleted while it was read: the disk was about to be full"});
}

Result<BlockTable> PacketFile::ListForeignBlocks() const {
  STENO_TRY(const uint64_t size, FileSize(fd(), path_));
  auto table = steno::ListForeignBlocks(fd(), path_, size);
  STENO_CHECK_OK(CheckWhole());
  return table;
}

Result<FileIdentity> ReadFileIdentity(const PacketFile& file) {
  std::array<uint8_t, kFirstPacketOffset> bytes;
  if (const Status read = file.Read(bytes, 0); !read) {
    if (read.error().code == ErrorCode::kCorrupt) return FileIdentity{};  // too short for a block
    return Fail(read.error());
  }
  BlockHeader header;
  std::memcpy(&header, bytes.data() + kKernelHeaderBytes, sizeof header);
  if (header.magic != kBlockMagic || !CheckBlockHeader(header, 0, nullptr)) return FileIdentity{};
  const size_t name_bytes = ::strnlen(header.interface_name, sizeof header.interface_name);
  return FileIdentity{true,
                      header.file_id,
                      header.file_tag,
                      header.link_type,
                      header.snaplen,
                      std::string(header.interface_name, name_bytes)};
}

}  // namespace steno
