#include "storage/recovery.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "storage/file_names.h"
#include "storage/output_file.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

enum class Claim {
  kOurs,   // locked; nobody else handles it
  kInUse,  // a living writer has it
  kGone,   // another recovery was faster
};

// Opens and locks a hidden file. The lock tells whether its writer lives; the second look, whether the name
// still means the file that was locked.
Result<Claim> ClaimFile(const std::string& path, UniqueFd& fd, struct stat& info) {
  auto opened = OpenFile(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  if (!opened) {
    if (opened.error().sys_errno == ENOENT) return Claim::kGone;
    return Fail(std::move(opened).error());
  }
  fd = std::move(*opened);
  if (::fstat(fd.get(), &info) != 0) return Fail(Error::System("stat " + path));
  if (!S_ISREG(info.st_mode)) return Fail(Error::Invalid(path + ": not a regular file"));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Claim::kInUse;
    return Fail(Error::System("lock " + path));
  }
  struct stat named{};
  const bool same =
      ::lstat(path.c_str(), &named) == 0 && named.st_ino == info.st_ino && named.st_dev == info.st_dev;
  return same ? Claim::kOurs : Claim::kGone;
}

class Recovery {
 public:
  Recovery(std::string packets_directory, std::string index_directory)
      : packets_(std::move(packets_directory)), indexes_(std::move(index_directory)) {}

  Result<RecoveryReport> Run() {
    STENO_TRY(const auto packet_entries, ListDirectory(packets_));
    for (const std::string& name : packet_entries) {
      if (IsHiddenPacketFileName(name)) Note(RecoverPacketFile(name));
    }
    STENO_TRY(const auto index_entries, ListDirectory(indexes_));
    for (const std::string& name : index_entries) {
      if (IsHiddenPacketFileName(name)) Note(RemoveUnfinishedIndex(name));
    }
    STENO_CHECK_OK(RemoveOrphanIndexes());
    return std::move(report_);
  }

 private:
  void Note(const Status& status) {
    if (!status) report_.problems.push_back(status.error().message);
  }

  Status RecoverPacketFile(const std::string& hidden);
  Status Publish(OutputFile file, const BlockTable& table, const struct stat& before);
  Status RemoveUnfinishedIndex(const std::string& hidden);
  Status RemoveOrphanIndexes();

  const std::string packets_;
  const std::string indexes_;
  RecoveryReport report_;
};

Status Recovery::RecoverPacketFile(const std::string& hidden) {
  const std::string path = packets_ + "/" + hidden;
  OutputFile file;
  file.directory = packets_;
  file.hidden_name = hidden;
  struct stat info{};
  STENO_TRY(const Claim claim, ClaimFile(path, file.fd, info));
  if (claim == Claim::kGone) return {};
  if (claim == Claim::kInUse) {
    ++report_.in_use;
    return {};
  }
  STENO_TRY(const PacketFile packets, PacketFile::Open(path));
  STENO_TRY(const BlockTable table, packets.WalkBlocks());
  if (!table.blocks.empty()) return Publish(std::move(file), table, info);
  if (!table.clean) {
    return Fail(Error::Corrupt(
        path + ": left by a crash, but it starts with no packet block; look at it and remove it"));
  }
  STENO_CHECK_OK(DiscardFile(std::move(file)));
  ++report_.removed_empty;
  return {};
}

Status Recovery::Publish(OutputFile file, const BlockTable& table, const struct stat& before) {
  const std::string hidden = file.hidden_name;
  if (!table.clean) {
    STENO_WARN("{}/{}: {} blocks are missing; what follows byte {} is cut off", packets_, hidden,
               table.missing_blocks, table.valid_bytes);
  }
  const uint64_t named = *ParseFileName(std::string_view(hidden).substr(1));
  // A file id that could not be a name can only come from a writer that is not ours.
  const bool usable = ParseFileName(std::to_string(table.file_id)).has_value();
  STENO_TRY(const std::string name,
            PublishFile(std::move(file), usable ? table.file_id : named, table.valid_bytes));
  // The file is as old as its packets, not as its recovery.
  const std::array<timespec, 2> times{before.st_atim, before.st_mtim};
  ::utimensat(AT_FDCWD, (packets_ + "/" + name).c_str(), times.data(), 0);
  RecoveredFile recovered;
  recovered.name = name;
  recovered.valid_bytes = table.valid_bytes;
  for (const BlockEntry& block : table.blocks) recovered.packets += block.packet_count;
  STENO_INFO("recovered {}/{}: {} packets in {} bytes, from {}", packets_, name, recovered.packets,
             recovered.valid_bytes, hidden);
  report_.published.push_back(std::move(recovered));
  return {};
}

Status Recovery::RemoveUnfinishedIndex(const std::string& hidden) {
  const std::string path = indexes_ + "/" + hidden;
  UniqueFd fd;
  struct stat info{};
  STENO_TRY(const Claim claim, ClaimFile(path, fd, info));
  if (claim == Claim::kInUse) ++report_.in_use;
  if (claim != Claim::kOurs) return {};
  if (::unlink(path.c_str()) != 0) return Fail(Error::System("remove " + path));
  return {};
}

Status Recovery::RemoveOrphanIndexes() {
  STENO_TRY(const auto packet_entries, ListDirectory(packets_));
  STENO_TRY(const auto index_entries, ListDirectory(indexes_));
  for (const NamedFile& index :
       FindOrphanIndexes(SelectPacketFiles(packet_entries), SelectPacketFiles(index_entries))) {
    const std::string path = indexes_ + "/" + index.name;
    if (!IsAbandonedIndex(path)) continue;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) Note(Fail(Error::System("remove " + path)));
  }
  return {};
}

}  // namespace

Result<RecoveryReport> RecoverDirectory(const std::string& packets_directory,
                                        const std::string& index_directory) {
  auto report = Recovery(packets_directory, index_directory).Run();
  if (!report) return report;
  // In the order of their names, so that indexes are rebuilt from the oldest on.
  std::sort(report->published.begin(), report->published.end(),
            [](const RecoveredFile& a, const RecoveredFile& b) {
              return ParseFileName(a.name).value_or(0) < ParseFileName(b.name).value_or(0);
            });
  return report;
}

}  // namespace steno
