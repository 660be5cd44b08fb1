#include "server/capture_directories.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/file.h"

namespace steno {
namespace {

constexpr char kTreeName[] = "stenographer";  // six characters of mkdtemp follow

bool IsTreeName(const std::string& name) {
  const auto is_random = [](unsigned char c) { return std::isalnum(c) != 0; };
  return name.size() == sizeof kTreeName - 1 + 6 && name.starts_with(kTreeName) &&
         std::all_of(name.end() - 6, name.end(), is_random);
}

// A tree has no lock yet in the moment after it was made.
constexpr int64_t kAbandonedAfterNs = 60 * kNsPerSecond;

// Does `path` have the age, the owner and the content of a tree of ours? Looks at no link's target.
bool LooksAbandoned(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) return false;
  if (WallNs() - int64_t{info.st_mtim.tv_sec} * kNsPerSecond < kAbandonedAfterNs) return false;
  const auto names = ListDirectory(path);
  if (!names) return false;
  for (const std::string& name : *names) {
    if (::lstat((path + "/" + name).c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return false;
  }
  return true;
}

std::optional<int64_t> ParseId(const std::string& text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return id;
}

// The value of the last `--name=value` or `--name value`.
std::string FlagValue(const std::vector<std::string>& flags, const std::string& name) {
  std::string value;
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i].starts_with(name + "=")) value = flags[i].substr(name.size() + 1);
    if (flags[i] == name && i + 1 < flags.size()) value = flags[i + 1];
  }
  return value;
}

// Creates the directory and those above it that are missing.
Status MakeDirectory(const std::string& path, const DirectoryOwner& owner) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return Fail(Error::System("create directory " + path, ENOTDIR));
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty() && parent != path) STENO_CHECK_OK(MakeDirectory(parent, {}));
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
    return Fail(Error::System("create directory " + path));
  if ((owner.uid >= 0 || owner.gid >= 0) &&
      ::chown(path.c_str(), static_cast<uid_t>(owner.uid), static_cast<gid_t>(owner.gid)) != 0) {
    return Fail(Error::System("change owner of " + path));
  }
  return {};
}

Status MakeLink(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), path.c_str()) != 0)
    return Fail(Error::System("link " + path + " to " + target));
  return {};
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

DirectoryOwner OwnerFromFlags(const std::vector<std::string>& flags) {
  DirectoryOwner owner;
  if (::geteuid() != 0) return owner;
  const std::string user = FlagValue(flags, "--uid");
  const std::string group = FlagValue(flags, "--gid");
  if (const auto id = ParseId(user)) {
    owner.uid = *id;
  } else if (const passwd* entry = user.empty() ? nullptr : ::getpwnam(user.c_str()); entry != nullptr) {
    owner.uid = entry->pw_uid;
  }
  if (const auto id = ParseId(group)) {
    owner.gid = *id;
  } else if (const ::group* entry = group.empty() ? nullptr : ::getgrnam(group.c_str()); entry != nullptr) {
    owner.gid = entry->gr_gid;
  }
  return owner;
}

Result<CaptureDirectories> CaptureDirectories::Create(const std::vector<StoreDirectory>& directories,
                                                      const DirectoryOwner& owner) {
  RemoveAbandonedTrees("/tmp");
  std::string path = fmt::format("/tmp/{}XXXXXX", kTreeName);
  if (::mkdtemp(path.data()) == nullptr) return Fail(Error::System("create " + path));
  CaptureDirectories tree(path);
  STENO_TRY(tree.lock_, OpenFile(path, O_RDONLY | O_DIRECTORY));
  if (::flock(tree.lock_.get(), LOCK_EX | LOCK_NB) != 0) return Fail(Error::System("lock " + path));
  // stenotype may look at it after it has become another user; it holds nothing but links.
  if (::chmod(path.c_str(), 0755) != 0) return Fail(Error::System("chmod " + path));
  for (size_t i = 0; i < directories.size(); ++i) {
    const std::string packets = WithoutTrailingSlash(directories[i].packets_directory);
    const std::string index = WithoutTrailingSlash(directories[i].index_directory);
    STENO_CHECK_OK(MakeDirectory(packets, owner));
    STENO_CHECK_OK(MakeDirectory(index, owner));
    STENO_CHECK_OK(MakeLink(packets, fmt::format("{}/PKT{}", path, i)));
    STENO_CHECK_OK(MakeLink(index, fmt::format("{}/IDX{}", path, i)));
  }
  return tree;
}

unsigned RemoveAbandonedTrees(const std::string& parent) {
  const auto names = ListDirectory(parent);
  if (!names) return 0;
  unsigned removed = 0;
  for (const std::string& name : *names) {
    const std::string path = parent + "/" + name;
    if (!IsTreeName(name) || !LooksAbandoned(path)) continue;
    const auto lock = OpenFile(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) continue;
    std::error_code failure;
    std::filesystem::remove_all(path, failure);
    if (!failure) ++removed;
  }
  return removed;
}

CaptureDirectories::~CaptureDirectories() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);  // removes the links, not what they point to
}

}  // namespace steno
