#include "client/credentials.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace steno {
namespace {

std::string UserName(uid_t uid) {
  const passwd* entry = ::getpwuid(uid);
  return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

std::string GroupName(gid_t gid) {
  const group* entry = ::getgrgid(gid);
  return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

// "it belongs to user root, group stenographer (mode 0440)", as far as this user may know.
std::string Ownership(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return "";
  return fmt::format("; it belongs to user {}, group {} (mode {:04o})", UserName(status.st_uid),
                     GroupName(status.st_gid), status.st_mode & 07777U);
}

Status CheckReadable(const std::string& path) {
  if (::access(path.c_str(), R_OK) == 0) return {};
  const int number = errno;
  return Fail(Error::System(
      fmt::format("user {} cannot read {}{}", UserName(::geteuid()), path, Ownership(path)), number));
}

}  // namespace

Result<Credentials> FindCredentials(const std::string& cert_path) {
  if (cert_path.empty()) return Fail(Error::Invalid("the configuration has no \"CertPath\""));
  Credentials found{cert_path + "/client_cert.pem", cert_path + "/client_key.pem",
                    cert_path + "/ca_cert.pem"};
  for (const std::string* path : {&found.key, &found.certificate, &found.authority}) {
    STENO_CHECK_OK(CheckReadable(*path));
  }
  return found;
}

}  // namespace steno
