// Logging for all programs: spdlog behind one pattern, to stderr (journald and containers read it there).
//
// STENO_INFO("rotated to {}", name) and its sisters add time, thread and source line:
//   2026-01-02T03:04:05.678901Z T:1f3a [file.cc:42] rotated to 123
// which is the incumbent's line shape: tools that split its lines keep working. Thread-safe. Never on the per-packet path.
#pragma once

#include <spdlog/spdlog.h>

#define STENO_DEBUG(...) SPDLOG_DEBUG(__VA_ARGS__)
#define STENO_INFO(...) SPDLOG_INFO(__VA_ARGS__)
#define STENO_WARN(...) SPDLOG_WARN(__VA_ARGS__)
#define STENO_ERROR(...) SPDLOG_ERROR(__VA_ARGS__)

namespace steno {

// Sets the pattern and the stderr sink. `verbosity`: <0 warnings and errors, 0 also information, >0 also debugging.
void InitLogging(int verbosity);

// Moves all further lines to syslog under `program`.
void LogToSyslog(const char* program);

}  // namespace steno
