#include "capture/sandbox.h"

#include <cap-ng.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "base/log.h"

namespace steno {
namespace {

std::optional<unsigned> AsNumber(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status ChangeGroups(const Identity& identity) {
  const unsigned group = identity.group.value_or(::getegid());
  if (::setresgid(group, group, group) != 0) {
    return Fail(Error::System(fmt::format("change to group {} (needs CAP_SETGID)", group)));
  }
  // Supplementary groups of the starter, root's among them, must go too.
  const int done = identity.user_name.empty()
                       ? ::setgroups(0, nullptr)
                       : ::initgroups(identity.user_name.c_str(), static_cast<gid_t>(group));
  if (done != 0)
    return Fail(
        Error::System(fmt::format("set the groups of user '{}' (needs CAP_SETGID)", identity.user_name)));
  return {};
}

Status ChangeIdentity(const Identity& identity) {
  const unsigned user = identity.user.value_or(::geteuid());
  const unsigned group = identity.group.value_or(::getegid());
  const bool other_user = user != ::geteuid() || user != ::getuid();
  const bool other_group = group != ::getegid() || group != ::getgid();
  // Started as the wanted user already, perhaps without the right to change groups at all.
  if (!other_user && !other_group) return {};
  STENO_CHECK_OK(ChangeGroups(identity));
  if (other_user && ::setresuid(user, user, user) != 0) {
    return Fail(Error::System(fmt::format("change to user {} (needs CAP_SETUID)", user)));
  }
  return {};
}

void DropCapabilities() {
  // Best effort: the bounding set needs CAP_SETPCAP, which few starters have. No_new_privs makes it
  // irrelevant.
  capng_clear(CAPNG_SELECT_BOTH);
  if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0) capng_apply(CAPNG_SELECT_BOUNDS);
  if (::geteuid() == 0)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), CAP_DAC_OVERRIDE);
  if (capng_apply(CAPNG_SELECT_CAPS) == 0) return;
  // Root of a container may lack CAP_DAC_OVERRIDE itself.
  capng_clear(CAPNG_SELECT_CAPS);
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) STENO_WARN("capabilities could not be dropped");
}

}  // namespace

Result<Identity> ResolveIdentity(const std::string& user, const std::string& group) {
  Identity identity;
  if (!user.empty()) {
    const auto number = AsNumber(user);
    const passwd* entry = number ? ::getpwuid(*number) : ::getpwnam(user.c_str());
    if (entry == nullptr && !number)
      return Fail(Error::NotFound(fmt::format("--uid={}: there is no such user", user)));
    identity.user = entry != nullptr ? entry->pw_uid : *number;
    if (entry != nullptr) identity.user_name = entry->pw_name;
    if (entry != nullptr) identity.group = entry->pw_gid;
  }
  if (!group.empty()) {
    identity.group = AsNumber(group);
    const struct group* entry = identity.group ? nullptr : ::getgrnam(group.c_str());
    if (entry != nullptr) identity.group = entry->gr_gid;
    if (!identity.group) return Fail(Error::NotFound(fmt::format("--gid={}: there is no such group", group)));
  }
  return identity;
}

Status DropPrivileges(const Identity& identity) {
  STENO_CHECK_OK(ChangeIdentity(identity));
  DropCapabilities();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Fail(Error::System("prctl(PR_SET_NO_NEW_PRIVS)"));
  return {};
}

}  // namespace steno
