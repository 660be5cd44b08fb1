#include "index/arena.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <new>

namespace steno {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

uint64_t ArenaBytes() { return sizeof(ArenaHeader) + kArenaSegments * SegmentBytes(); }

Status CheckArena(const ArenaHeader& header) {
  if (header.magic != kArenaMagic || header.version != kArenaVersion ||
      header.segment_count != kArenaSegments || header.segment_bytes != SegmentBytes()) {
    return Fail(Error::Corrupt(fmt::format(
        "shared index arena: magic {:#x}, version {}, {} segments of {} bytes; expected {:#x}, {}, {} of {}",
        header.magic, header.version, header.segment_count, header.segment_bytes, kArenaMagic, kArenaVersion,
        kArenaSegments, SegmentBytes())));
  }
  return {};
}

}  // namespace

Result<Arena> Arena::Create(uint32_t thread) {
  const std::string name = fmt::format("stenographer-index-{}", thread);
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Fail(Error::System("memfd_create for the shared index arena"));
  if (::ftruncate(fd.get(), static_cast<off_t>(ArenaBytes())) != 0) {
    return Fail(Error::System(fmt::format("ftruncate of the shared index arena to {} bytes", ArenaBytes())));
  }
  // Without the seals the other side could shrink the file and kill this process with SIGBUS.
  if (::fcntl(fd.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0) {
    return Fail(Error::System("fcntl(F_ADD_SEALS) on the shared index arena"));
  }
  {
    STENO_TRY(const Mapping mapping, Mapping::Shared(fd.get(), ArenaBytes(), true));
    auto* header = new (mapping.data()) ArenaHeader{};
    header->version = kArenaVersion;
    header->segment_count = kArenaSegments;
    header->segment_bytes = SegmentBytes();
    header->thread = thread;
    header->magic = kArenaMagic;
  }
  return Attach(fd.get(), true);
}

Result<Arena> Arena::Attach(int fd, bool writable) {
  Arena arena;
  arena.fd_ = UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!arena.fd_.valid()) return Fail(Error::System(fmt::format("duplicate arena descriptor {}", fd)));
  struct stat file{};
  if (::fstat(arena.fd_.get(), &file) != 0) return Fail(Error::System("fstat of the shared index arena"));
  if (static_cast<uint64_t>(file.st_size) != ArenaBytes()) {
    return Fail(Error::Corrupt(fmt::format("shared index arena: {} bytes, expected {}",
                                           static_cast<int64_t>(file.st_size), ArenaBytes())));
  }
  const int seals = ::fcntl(arena.fd_.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) {
    return Fail(
        Error::Corrupt("shared index arena: expected a memory file sealed against shrinking and growing"));
  }
  STENO_TRY(arena.mapping_, Mapping::Shared(arena.fd_.get(), ArenaBytes(), writable));
  arena.header_ = std::launder(reinterpret_cast<ArenaHeader*>(arena.mapping_.data()));
  STENO_CHECK_OK(CheckArena(*arena.header_));
  for (unsigned index = 0; index < kArenaSegments; ++index) {
    arena.segments_[index] = SegmentMemory::At(
        arena.mapping_.bytes().subspan(sizeof(ArenaHeader) + index * SegmentBytes(), SegmentBytes()));
  }
  return arena;
}

}  // namespace steno
