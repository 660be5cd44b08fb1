#include "client/connection.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <memory>
#include <string_view>

#include "client/credentials.h"

namespace steno {
namespace {

constexpr size_t kMaxErrorText = 64 << 10;
constexpr long kConnectTimeoutSeconds = 30;
constexpr long kReceiveBufferBytes = 512 << 10;

struct CurlCleanup {
  void operator()(CURL* handle) const { ::curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { ::curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, CurlCleanup>;
using CurlList = std::unique_ptr<curl_slist, CurlCleanup>;

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// One exchange: what libcurl's callbacks share.
struct Exchange {
  CURL* handle = nullptr;
  ResultSink* sink = nullptr;
  bool stopped = false;    // by the sink
  uint64_t bytes = 0;      // given to the sink
  std::string error_text;  // body of an answer that is not 200
  std::string complete;    // trailers
  std::string reason;
  char curl_error[CURL_ERROR_SIZE] = {};

  // Whether any part of the request has left.
  [[nodiscard]] bool WasSent() const {
    long request_bytes = 0;
    ::curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &request_bytes);
    return request_bytes > 0;
  }

  [[nodiscard]] long HttpStatus() const {
    long status = 0;
    ::curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const size_t bytes = size * count;
  if (exchange.HttpStatus() != 200) {
    exchange.error_text.append(data, std::min(bytes, kMaxErrorText - exchange.error_text.size()));
    return bytes;
  }
  if (!exchange.sink->Write({reinterpret_cast<const uint8_t*>(data), bytes})) {
    exchange.stopped = true;
    return 0;
  }
  exchange.bytes += bytes;
  return bytes;
}

// Headers and, after the body, trailers.
size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size * count);
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  const std::string_view name = Trim(line.substr(0, colon));
  if (EqualsIgnoringCase(name, "Steno-Complete")) exchange.complete = Trim(line.substr(colon + 1));
  if (EqualsIgnoringCase(name, "Steno-Reason")) exchange.reason = Trim(line.substr(colon + 1));
  return line.size();
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (!exchange.sink->WantsMore()) exchange.stopped = true;
  return exchange.stopped ? 1 : 0;
}

CurlList MakeHeaders(const QueryRequest& request) {
  CurlList headers;
  const auto add = [&headers](const std::string& line) {
    headers.reset(::curl_slist_append(headers.release(), line.c_str()));
  };
  add("Content-Type: text/plain; charset=utf-8");
  add("Expect:");  // the query is small: do not wait for permission to send it
  if (request.limit_packets) add(fmt::format("Steno-Limit-Packets: {}", *request.limit_packets));
  if (request.limit_bytes) add(fmt::format("Steno-Limit-Bytes: {}", *request.limit_bytes));
  return headers;
}

template <class T>
void Set(CURL* handle, CURLoption option, T value) {
  ::curl_easy_setopt(handle, option, value);
}

void SetRequest(CURL* handle, const Endpoint& endpoint, const QueryRequest& request, curl_slist* headers) {
  Set(handle, CURLOPT_URL, (endpoint.url + request.path).c_str());
  if (!endpoint.unix_socket.empty()) Set(handle, CURLOPT_UNIX_SOCKET_PATH, endpoint.unix_socket.c_str());
  Set(handle, CURLOPT_POST, 1L);
  Set(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.query.size()));
  Set(handle, CURLOPT_POSTFIELDS, request.query.c_str());
  Set(handle, CURLOPT_HTTPHEADER, headers);
  Set(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(handle, CURLOPT_NOPROXY, "*");  // proxies of the environment are for the web, not for a sensor
  Set(handle, CURLOPT_NOSIGNAL, 1L);
  Set(handle, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutSeconds);
  Set(handle, CURLOPT_TIMEOUT, static_cast<long>(request.max_time_seconds));
  Set(handle, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
}

void SetCallbacks(CURL* handle, Exchange& exchange) {
  Set(handle, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(handle, CURLOPT_WRITEDATA, &exchange);
  Set(handle, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(handle, CURLOPT_HEADERDATA, &exchange);
  Set(handle, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  Set(handle, CURLOPT_XFERINFODATA, &exchange);
  Set(handle, CURLOPT_NOPROGRESS, 0L);
  Set(handle, CURLOPT_ERRORBUFFER, exchange.curl_error);
}

void SetCredentials(CURL* handle, const Credentials& credentials) {
  Set(handle, CURLOPT_SSLCERT, credentials.certificate.c_str());
  Set(handle, CURLOPT_SSLKEY, credentials.key.c_str());
  Set(handle, CURLOPT_CAINFO, credentials.authority.c_str());
  Set(handle, CURLOPT_SSL_VERIFYPEER, 1L);
  Set(handle, CURLOPT_SSL_VERIFYHOST, 2L);
}

std::string Describe(CURLcode code, const Exchange& exchange) {
  std::string text = exchange.curl_error[0] != '\0' ? exchange.curl_error : ::curl_easy_strerror(code);
  long number = 0;
  ::curl_easy_getinfo(exchange.handle, CURLINFO_OS_ERRNO, &number);
  if (code == CURLE_COULDNT_CONNECT && number != 0) return std::strerror(static_cast<int>(number));
  return text;
}

// Reads the end of an exchange that reached a server.
QueryOutcome Judge(CURLcode code, const Exchange& exchange) {
  QueryOutcome outcome;
  outcome.http_status = exchange.HttpStatus();
  outcome.bytes = exchange.bytes;
  if (exchange.stopped) {
    outcome.kind = QueryOutcome::Kind::kStopped;
  } else if (outcome.http_status != 200) {
    outcome.kind = QueryOutcome::Kind::kRefused;
    outcome.text = Trim(exchange.error_text);
  } else if (code != CURLE_OK) {
    outcome.kind = QueryOutcome::Kind::kIncomplete;
    outcome.text = Describe(code, exchange);
  } else if (EqualsIgnoringCase(exchange.complete, "false") && exchange.reason != "limit-packets" &&
             exchange.reason != "limit-bytes") {
    outcome.kind = QueryOutcome::Kind::kIncomplete;
    outcome.text = exchange.reason.empty() ? "the server gave no reason" : exchange.reason;
  } else if (exchange.bytes == 0) {
    outcome.kind = QueryOutcome::Kind::kIncomplete;
    outcome.text = "the server sent nothing, not even a file header";
  }
  return outcome;
}

// One endpoint's try. If nothing was sent there, the next endpoint may be asked instead.
struct Attempt {
  bool sent = false;
  Result<QueryOutcome> outcome;
};

Attempt Ask(const Endpoint& endpoint, const std::string& cert_path, const QueryRequest& request,
            ResultSink& sink) {
  const CurlHandle handle(::curl_easy_init());
  if (!handle) return {false, Fail(Error::Unsupported("libcurl could not be initialised"))};
  Exchange exchange;
  exchange.handle = handle.get();
  exchange.sink = &sink;
  const CurlList headers = MakeHeaders(request);
  SetRequest(handle.get(), endpoint, request, headers.get());
  SetCallbacks(handle.get(), exchange);
  if (endpoint.unix_socket.empty()) {
    const auto credentials = FindCredentials(cert_path);
    if (!credentials) return {false, Fail(credentials.error())};
    SetCredentials(handle.get(), *credentials);
  }
  const CURLcode code = ::curl_easy_perform(handle.get());
  if (exchange.HttpStatus() != 0 || exchange.stopped) return {true, Judge(code, exchange)};
  return {exchange.WasSent(), Fail(Error{ErrorCode::kIo, 0, 0, Describe(code, exchange)})};
}

}  // namespace

Result<QueryOutcome> FetchQuery(const std::vector<Endpoint>& endpoints, const std::string& cert_path,
                                const QueryRequest& request, ResultSink& sink) {
  static const CURLcode initialised = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialised != CURLE_OK) return Fail(Error::Unsupported("libcurl could not be initialised"));
  std::string failures;
  for (const Endpoint& endpoint : endpoints) {
    auto [sent, outcome] = Ask(endpoint, cert_path, request, sink);
    if (outcome) return std::move(outcome);
    if (sent) return Fail(std::move(outcome).error().With("no answer from " + endpoint.Describe()));
    failures +=
        fmt::format("{}{}: {}", failures.empty() ? "" : "; ", endpoint.Describe(), outcome.error().message);
  }
  return Fail(Error{ErrorCode::kIo, 0, 0, "cannot reach the server: " + failures});
}

}  // namespace steno
