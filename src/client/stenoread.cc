#include "client/stenoread.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/capture_output.h"
#include "client/client_config.h"
#include "client/connection.h"
#include "client/explain.h"
#include "client/offline.h"
#include "client/tcpdump_pipe.h"

namespace steno {
namespace {

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += ' ' + word;
  return text;
}

QueryRequest RequestOf(const StenoreadOptions& options) {
  QueryRequest request{options.query, options.limit_packets, options.limit_bytes, options.max_time_seconds};
  if (!options.aggregate.empty()) {
    request.path += "?aggregate=" + options.aggregate;
  } else if (options.format != "pcap") {
    request.path += "?format=" + options.format;
  }
  return request;
}

struct Server {
  std::vector<Endpoint> endpoints;
  std::string cert_path;
};

Result<Server> FindServer(const StenoreadOptions& options) {
  STENO_TRY(const auto config, LoadClientConfig(options.config_path));
  auto endpoints = Endpoints(config);
  if (!endpoints) return Fail(std::move(endpoints).error().With(options.config_path));
  return Server{std::move(*endpoints), config.cert_path};
}

Result<std::string> Explain(const StenoreadOptions& options) {
  if (!options.directories.empty()) return ExplainDirectories(options.directories, options.query);
  STENO_TRY(const Server server, FindServer(options));
  QueryRequest request = RequestOf(options);
  request.path = "/query";
  return FetchExplanation(server.endpoints, server.cert_path, std::move(request));
}

Result<QueryOutcome> Ask(const StenoreadOptions& options, ResultSink& sink) {
  if (options.directories.empty()) {
    STENO_TRY(const Server server, FindServer(options));
    return FetchQuery(server.endpoints, server.cert_path, RequestOf(options), sink);
  }
  STENO_TRY(const ResultFormat format, ParseResultFormat(options.format));
  Grouping grouping;
  if (!options.aggregate.empty()) {
    STENO_TRY(grouping, ParseGrouping(options.aggregate));
  }
  StreamOutput output(format, sink, grouping);
  return QueryDirectories(options.directories, RequestOf(options), output);
}

Conclusion RunWithTcpdump(const StenoreadOptions& options) {
  // A configuration that cannot be used is found before anything is said.
  if (options.directories.empty()) {
    if (const auto server = FindServer(options); !server) return {kExitFailed, server.error().message};
  }
  const auto program = FindTcpdump(std::getenv("PATH"));
  if (!program) return {kExitFailed, program.error().message};
  std::fprintf(stderr, "Running stenographer query '%s', piping to 'tcpdump%s'\n", options.query.c_str(),
               Join(options.tcpdump_arguments).c_str());
  TcpdumpPipe tcpdump(*program, options.tcpdump_arguments);
  const auto outcome = Ask(options, tcpdump);
  return Conclude(outcome, tcpdump.Finish());
}

Conclusion RunWithFile(const StenoreadOptions& options) {
  if (options.split.bytes != 0 || options.split.time_ns != 0) {
    const auto format = ParseResultFormat(options.format);
    if (!format) return {kExitFailed, format.error().message};
    SplitOutput output(options.output, *format, options.split);
    return Conclude(QueryDirectories(options.directories, RequestOf(options), output), 0);
  }
  FileSink file(options.output);
  const auto outcome = Ask(options, file);
  if (!file.error()) return {kExitFailed, file.error().error().message};
  return Conclude(outcome, 0);
}

}  // namespace

Conclusion RunStenoread(const StenoreadOptions& options) {
  if (options.action == StenoreadOptions::Action::kExplain) {
    const auto text = Explain(options);
    if (!text) return {kExitFailed, text.error().message};
    std::fputs(text->c_str(), stdout);
    return {};
  }
  return options.output.empty() ? RunWithTcpdump(options) : RunWithFile(options);
}

}  // namespace steno
