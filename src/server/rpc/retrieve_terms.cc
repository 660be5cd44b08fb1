#include "server/rpc/retrieve_terms.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "base/limit.h"

namespace steno {
namespace {

// Less per message costs more in messages than in bytes; more makes messages that clients refuse (4 MiB) or
// that a stream must hold twice.
constexpr uint64_t kMinChunkBytes = 512;
constexpr uint64_t kDefaultChunkBytes = 64 << 10;
constexpr uint64_t kMaxChunkBytes = 256 << 10;
constexpr size_t kMaxUidBytes = 256;

// What the client wants, else what the configuration says; 0: neither says anything.
Result<uint64_t> Wanted(const char* name, int64_t value, uint64_t configured) {
  if (value < 0) return Fail(Error::Invalid(fmt::format("{}: {}, expected 0 or more", name, value)));
  return value == 0 ? configured : static_cast<uint64_t>(value);
}

}  // namespace

Result<RetrieveTerms> TermsOf(std::string uid, int64_t chunk_size, int64_t max_size,
                              const RpcConfig& config) {
  if (uid.size() > kMaxUidBytes) {
    return Fail(Error::Invalid(fmt::format("uid: {} bytes, expected at most {}", uid.size(), kMaxUidBytes)));
  }
  STENO_TRY(const uint64_t chunk, Wanted("chunk_size", chunk_size, config.chunk_bytes));
  STENO_TRY(const uint64_t most, Wanted("max_size", max_size, config.client_max_bytes));
  return RetrieveTerms{std::move(uid),
                       std::clamp(chunk == 0 ? kDefaultChunkBytes : chunk, kMinChunkBytes, kMaxChunkBytes),
                       StricterLimit(most, config.max_bytes)};
}

std::string MakeUid() {
  std::random_device source;
  const uint32_t a = source();
  const uint32_t b = source();
  const uint32_t c = source();
  const uint32_t d = source();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:04x}{:08x}", a, b >> 16, b & 0xfff,
                     0x8000 | (c >> 16 & 0x3fff), c & 0xffff, d);
}

}  // namespace steno
