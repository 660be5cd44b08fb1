// IndexCache: what of many files' indexes is kept in memory (index/index_digest.h), within a limit. Of newer
// files more is kept: when the limit is reached, the filters of the oldest file go first; when no filters are
// left, its fences. What else is kept of indexes claims its memory here.
//
// Thread-safe. Copies are the same cache; entries and claims may outlive them all.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "index/index_digest.h"

namespace steno {

class IndexCache {
 private:
  struct State;

 public:
  explicit IndexCache(uint64_t limit_bytes);

  // A file's place in the cache, given up by its destructor.
  class Entry {
   public:
    Entry(std::shared_ptr<State> state, uint64_t file_id) : state_(std::move(state)), file_id_(file_id) {}
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Null if there was no room for it.
    [[nodiscard]] std::shared_ptr<const IndexDigest> digest() const {
      return digest_.load(std::memory_order_acquire);
    }

   private:
    friend struct State;
    const std::shared_ptr<State> state_;
    const uint64_t file_id_;
    std::atomic<std::shared_ptr<const IndexDigest>> digest_;  // changed under the state's lock
  };

  // `file_id`: the higher, the newer.
  std::shared_ptr<const Entry> Add(uint64_t file_id, IndexDigest digest);

  // Memory of which somebody else is the owner, counted here until this is destroyed.
  class Claim {
   public:
    Claim(std::shared_ptr<State> state, uint64_t bytes) : state_(std::move(state)), bytes_(bytes) {}
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    const std::shared_ptr<State> state_;
    const uint64_t bytes_;
  };
  // Null if all claims together would be more than half of the limit.
  std::unique_ptr<const Claim> TryClaim(uint64_t bytes) const;

  struct Totals {
    uint64_t limit_bytes = 0;
    uint64_t bytes = 0;  // claims included
    uint64_t claimed_bytes = 0;
    uint64_t refused_claims = 0;  // since the start
    uint64_t files_with_filters = 0;
    uint64_t files_with_fences = 0;  // only
    uint64_t evictions = 0;          // of filters or fences, since the start
  };
  [[nodiscard]] Totals totals() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace steno
