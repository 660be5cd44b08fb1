#include "server/http/reply.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

namespace steno {
namespace {

// IMF-fixdate of RFC 9110, without the locale.
std::string HttpDate() {
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(static_cast<size_t>(utc.tm_wday)),
                     utc.tm_mday, kMonths.at(static_cast<size_t>(utc.tm_mon)), utc.tm_year + 1900,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void AppendHeaders(std::string& out, const HeaderList& headers) {
  for (const auto& [name, value] : headers) out += name + ": " + value + "\r\n";
}

}  // namespace

std::string_view StatusPhrase(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string ReplyHead(unsigned status, const HeaderList& headers, bool keep_alive, unsigned http_minor) {
  std::string head = fmt::format("HTTP/1.{} {} {}\r\nServer: stenographer\r\nDate: {}\r\n",
                                 http_minor == 0 ? 0 : 1, status, StatusPhrase(status), HttpDate());
  AppendHeaders(head, headers);
  if (!keep_alive) {
    head += "Connection: close\r\n";
  } else if (http_minor == 0) {
    head += "Connection: keep-alive\r\n";
  }
  return head + "\r\n";
}

std::string Serialise(const HttpReply& reply, bool keep_alive, unsigned http_minor) {
  HeaderList headers = {{"Content-Type", reply.content_type},
                        {"Content-Length", std::to_string(reply.body.size())}};
  headers.insert(headers.end(), reply.headers.begin(), reply.headers.end());
  return ReplyHead(reply.status, headers, keep_alive, http_minor) + reply.body;
}

std::string ChunkHead(size_t bytes) { return fmt::format("{:x}\r\n", bytes); }

std::string LastChunk(const HeaderList& trailers) {
  std::string out = "0\r\n";
  AppendHeaders(out, trailers);
  return out + "\r\n";
}

}  // namespace steno
