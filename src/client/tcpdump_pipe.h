// TcpdumpPipe: a tcpdump that reads packets from a pipe: found, started, fed, and waited for.
//
// One thread. Owns the child: the destructor closes the pipe and waits. Starting is the caller's decision (or
// the first Write()'s), so that a refused query never starts one. SIGPIPE is ignored from Start() on, in this
// process only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/connection.h"

namespace steno {

// The program's path: first in `path` (the value of PATH, may be null), then where systems keep it for root.
Result<std::string> FindTcpdump(const char* path);

class TcpdumpPipe : public ResultSink {
 public:
  // `program` is run as "tcpdump -r - -s 0 <arguments>".
  TcpdumpPipe(std::string program, std::vector<std::string> arguments);
  ~TcpdumpPipe() override;
  TcpdumpPipe(const TcpdumpPipe&) = delete;
  TcpdumpPipe& operator=(const TcpdumpPipe&) = delete;

  Status Start();
  [[nodiscard]] bool started() const { return child_ > 0; }

  // Starts it if need be; false once it has ended, could not be started, or cannot be written to: see
  // error().
  bool Write(std::span<const uint8_t> bytes) override;
  bool WantsMore() override;

  // Closes the pipe, waits, and returns the exit status as a shell would: 128 + signal if one ended it.
  Result<int> Finish();

  // Why Write() failed, if for another reason than that tcpdump wanted no more.
  [[nodiscard]] const Status& error() const { return error_; }

 private:
  void Reap(int options);

  std::string program_;
  std::vector<std::string> arguments_;
  UniqueFd input_;
  pid_t child_ = -1;
  bool ended_ = false;
  int wait_status_ = 0;
  Status error_;
};

}  // namespace steno
