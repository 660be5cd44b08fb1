// Errors as values: what went wrong, where, and what was expected.
//
// Thread-safety: plain values. Convention: the innermost function states the fact ("open /pkt/.1: No space
// left on device"), each caller on the way up adds its own context in front ("rotate thread 0: ...").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace steno {

enum class ErrorCode : uint8_t {
  kInvalid,      // the input (query, flag, config, header) is wrong; the message says what was expected
  kNotFound,     // a named thing does not exist
  kIo,           // a system call failed; `sys_errno` holds errno
  kCorrupt,      // bytes on disk or in shared memory break their format
  kUnsupported,  // the kernel, file system or build cannot do it
  kExhausted,    // a stated limit was reached
  kCancelled,    // the caller asked to stop, or its client left
  kDeadline,     // the time allowed is over
  kStale,        // what it was made for has been replaced: making it anew helps
};

// A failure with its context. `column` is 1-based and set for errors in a query text only (0 = no column).
struct Error {
  ErrorCode code = ErrorCode::kInvalid;
  int sys_errno = 0;
  uint32_t column = 0;
  std::string message;

  static Error Invalid(std::string message) { return {ErrorCode::kInvalid, 0, 0, std::move(message)}; }
  static Error Corrupt(std::string message) { return {ErrorCode::kCorrupt, 0, 0, std::move(message)}; }
  static Error NotFound(std::string message) { return {ErrorCode::kNotFound, 0, 0, std::move(message)}; }
  static Error Unsupported(std::string message) {
    return {ErrorCode::kUnsupported, 0, 0, std::move(message)};
  }
  static Error Exhausted(std::string message) { return {ErrorCode::kExhausted, 0, 0, std::move(message)}; }

  // "`what`: <text of errno>"; reads errno unless `number` is given.
  static Error System(std::string_view what, int number = -1);

  // The same error with "`context`: " in front of its message.
  Error With(std::string_view context) &&;
};

}  // namespace steno
