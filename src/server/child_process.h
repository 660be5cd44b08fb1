// ChildProcess: one run of stenotype: its process and the pipes to it. Passive: its owner polls it. Not
// thread-safe.
#pragma once

#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno {

class ChildProcess {
 public:
  // Starts `arguments` (the program's path first). The child inherits the descriptors `inherited` under their
  // numbers, has its stderr on a pipe, no stdin, and no blocked signals.
  static Result<ChildProcess> Start(const std::vector<std::string>& arguments,
                                    const std::vector<int>& inherited);

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Waits up to `timeout_ms` for lines on the child's stderr and passes them on to ours.
  void Relay(int timeout_ms);

  // How it ended ("exit status 1", "signal 11 (Segmentation fault)"), once it has; from then on it is gone.
  std::optional<std::string> Reap();

  void Send(int signal) const;

  // The latest lines of its stderr, for the log.
  [[nodiscard]] const std::deque<std::string>& last_lines() const { return last_lines_; }

 private:
  ChildProcess(pid_t pid, UniqueFd stderr_fd) : pid_(pid), stderr_(std::move(stderr_fd)) {}
  void KeepLines(const std::string& text);

  pid_t pid_ = -1;
  UniqueFd stderr_;
  std::string partial_;
  std::deque<std::string> last_lines_;
};

}  // namespace steno
