#include "capture/file_feed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"

namespace steno {
namespace {

constexpr size_t kOtherDescriptors = 256;  // of the rest of the process, amply

// For the files of a whole directory at once; the limit of a shell is often 1024.
void AllowOpenFiles(size_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= count + kOtherDescriptors) return;
  limit.rlim_cur = std::min<rlim_t>(count + kOtherDescriptors, limit.rlim_max);
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));  // what is not granted shows when a file is opened
}

Result<UniqueFd> OpenInput(const std::string& path) {
  // A pipe without a writer must not hold up the start; all reading waits by poll(2).
  if (path != "-") return OpenFile(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  UniqueFd input(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  if (input.valid()) return input;
  return Fail(Error::System("standard input"));
}

}  // namespace

Result<std::unique_ptr<FileFeed>> FileFeed::Open(const std::vector<std::string>& paths) {
  AllowOpenFiles(paths.size());
  std::unique_ptr<FileFeed> feed(new FileFeed);
  for (const std::string& path : paths) {
    if (const Status added = feed->Add(path); !added) return Fail(Error(added.error()).With("--read"));
  }
  return feed;
}

Status FileFeed::Add(const std::string& path) {
  STENO_TRY(UniqueFd fd, OpenInput(path));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return Fail(Error::System("stat " + path));
  if (S_ISDIR(status.st_mode)) {
    return Fail(
        Error::Invalid(path + " is a directory: expected pcap or pcapng files, or - for standard input"));
  }
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  const bool standard_input = path == "-";
  files_.push_back({.fd = std::move(fd),
                    .path = standard_input ? "standard input" : path,
                    .interface = standard_input ? "stdin" : path.substr(path.find_last_of('/') + 1)});
  return {};
}

std::optional<PacketStream> FileFeed::Next(const StopEvent& stop) {
  if (next_ == files_.size() || stop.requested()) return std::nullopt;
  File& file = files_[next_++];
  return PacketStream{
      .fd = std::move(file.fd), .name = file.path, .origin = {static_cast<uint32_t>(next_), file.interface}};
}

void FileFeed::Ended(const Status& how, const StreamCounts& counts) {
  const std::string& path = files_[next_ - 1].path;
  std::string others;
  if (counts.filtered > 0) others += fmt::format(", {} left out by --filter", counts.filtered);
  if (counts.foreign > 0) {
    others += fmt::format(", {} left out (the first is of link type {}, not Ethernet)", counts.foreign,
                          counts.foreign_link_type);
  }
  if (counts.cut > 0) others += fmt::format(", {} cut at the size of a block", counts.cut);
  if (counts.untimely > 0) {
    others +=
        fmt::format(", {} with a time outside of the years 1970 to 2106, which was limited", counts.untimely);
  }
  stopped_ = !how && how.error().code == ErrorCode::kCancelled;
  STENO_INFO("{}: {} packets {}{}", path, counts.recorded,
             how        ? "read"
             : stopped_ ? "read before the stop"
                        : "read before the error",
             others);
  if (!how && !stopped_) return Failed(how.error().message);
  if (counts.foreign > 0 && counts.recorded + counts.filtered == 0) {
    Failed(fmt::format("{}: holds {} packets of link type {}: expected Ethernet (link type 1)", path,
                       counts.foreign, counts.foreign_link_type));
  }
}

void FileFeed::Failed(std::string message) {
  STENO_ERROR("{}", message);
  if (failed_++ == 0) first_failure_ = std::move(message);
}

Status FileFeed::outcome() const {
  if (failed_ == 0 && (stopped_ || next_ < files_.size())) {
    const std::string& path = files_[next_ - (stopped_ ? 1 : 0)].path;
    return Fail({.code = ErrorCode::kCancelled, .message = path + ": stopped before its end"});
  }
  if (failed_ == 0) return {};
  return Fail(Error::Corrupt(failed_ == 1
                                 ? first_failure_
                                 : fmt::format("{} of {} files were not read to their end; the first: {}",
                                               failed_, files_.size(), first_failure_)));
}

}  // namespace steno
