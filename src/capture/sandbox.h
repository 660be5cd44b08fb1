// Giving up privileges: user and group, capabilities, no_new_privs, and a system call filter.
//
// For the main thread, before it starts threads that touch packets: they inherit all of it. Order:
// DropPrivileges, then what checks directories, then InstallSystemCallFilter. None of it can be undone.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "capture/capture_options.h"

namespace steno {

struct Identity {
  std::optional<unsigned> user;   // unset: stays
  std::optional<unsigned> group;  // unset: stays
  std::string user_name;          // for the supplementary groups; empty: none
};

// Looks up names and numbers. A user without a group gets his own one. kNotFound if there is no such user or
// group.
Result<Identity> ResolveIdentity(const std::string& user, const std::string& group);

// Becomes `identity`, drops all capabilities (root that stays root keeps CAP_DAC_OVERRIDE, or it could not
// write to the directories of others), and forbids new ones. Nothing to drop is no error.
Status DropPrivileges(const Identity& identity);

// Lets only those system calls through that recording needs, in all threads. The list is generous, and a call
// that it does not know fails with ENOSYS, as on a kernel that lacks it: C libraries then use an older one,
// where a kill would turn every update of a library into a crash. Calls that only an attacker would make
// (execve, ptrace, mount, bpf, ...) end the process in mode kKill. Making new io_urings is refused: their
// operations pass no filter. kTrace logs to the kernel's audit log what it would refuse and lets it through.
// Under the address and thread sanitizers nothing is installed: their run-time needs calls of its own.
Status InstallSystemCallFilter(SeccompMode mode);

}  // namespace steno
