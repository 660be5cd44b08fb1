// HTTP/1.1 responses as bytes: heads, whole replies, chunks and trailers (RFC 9112). Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steno {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct HttpReply {
  unsigned status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  HeaderList headers;  // further ones
};

// The reason phrase of a status that this server sends.
std::string_view StatusPhrase(unsigned status);

// Status line, Server, Date and `headers`, and the empty line. `http_minor`: the client's version 1.x.
std::string ReplyHead(unsigned status, const HeaderList& headers, bool keep_alive, unsigned http_minor);

// The whole of a reply with Content-Length.
std::string Serialise(const HttpReply& reply, bool keep_alive, unsigned http_minor);

// What goes before the bytes of a chunk; CR LF goes after. REQUIRES: bytes > 0.
std::string ChunkHead(size_t bytes);

// The last chunk and the trailer fields.
std::string LastChunk(const HeaderList& trailers);

}  // namespace steno
