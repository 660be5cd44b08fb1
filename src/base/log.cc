#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <sys/syslog.h>

#include <memory>

namespace steno {

void InitLogging(int verbosity) {
  auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%fZ T:%t [%s:%#] %v",
                                                                    spdlog::pattern_time_type::utc));
  logger->set_level(verbosity < 0    ? spdlog::level::warn
                    : verbosity == 0 ? spdlog::level::info
                                     : spdlog::level::debug);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

void LogToSyslog(const char* program) {
  auto logger = spdlog::default_logger();
  auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>(program, LOG_PID, LOG_DAEMON, true);
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("[%s:%#] %v", spdlog::pattern_time_type::utc, ""));
  logger->sinks() = {std::move(sink)};
}

}  // namespace steno
