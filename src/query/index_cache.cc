#include "query/index_cache.h"

#include <mutex>
#include <set>
#include <utility>

namespace steno {

struct IndexCache::State {
  using Order = std::pair<uint64_t, Entry*>;  // by age; the address tells files of one id apart

  explicit State(uint64_t limit_bytes) : limit(limit_bytes) {}

  void Put(Entry& entry, IndexDigest digest);
  void Remove(Entry& entry);
  void Shrink();

  const uint64_t limit;
  std::mutex mutex;
  uint64_t bytes = 0;  // of digests; this and all below: guarded by mutex
  uint64_t claimed = 0;
  uint64_t refused_claims = 0;
  uint64_t evictions = 0;
  std::set<Order> with_filters;
  std::set<Order> with_fences;
};

void IndexCache::State::Put(Entry& entry, IndexDigest digest) {
  bytes += digest.bytes();
  (digest.has_filters() ? with_filters : with_fences).emplace(entry.file_id_, &entry);
  entry.digest_.store(std::make_shared<const IndexDigest>(std::move(digest)), std::memory_order_release);
}

void IndexCache::State::Remove(Entry& entry) {
  const auto digest = entry.digest_.exchange(nullptr, std::memory_order_acq_rel);
  if (!digest) return;
  bytes -= digest->bytes();
  (digest->has_filters() ? with_filters : with_fences).erase({entry.file_id_, &entry});
}

void IndexCache::State::Shrink() {
  while (bytes + claimed > limit && !(with_filters.empty() && with_fences.empty())) {
    ++evictions;
    const bool filters = !with_filters.empty();
    Entry& oldest = *(filters ? with_filters : with_fences).begin()->second;
    IndexDigest fences = *oldest.digest();
    Remove(oldest);
    if (!filters) continue;
    fences.DropFilters();
    Put(oldest, std::move(fences));
  }
}

IndexCache::IndexCache(uint64_t limit_bytes) : state_(std::make_shared<State>(limit_bytes)) {}

IndexCache::Entry::~Entry() {
  const std::lock_guard lock(state_->mutex);
  state_->Remove(*this);
}

std::shared_ptr<const IndexCache::Entry> IndexCache::Add(uint64_t file_id, IndexDigest digest) {
  auto entry = std::make_shared<Entry>(state_, file_id);
  const std::lock_guard lock(state_->mutex);
  state_->Put(*entry, std::move(digest));
  state_->Shrink();
  return entry;
}

IndexCache::Claim::~Claim() {
  const std::lock_guard lock(state_->mutex);
  state_->claimed -= bytes_;
}

std::unique_ptr<const IndexCache::Claim> IndexCache::TryClaim(uint64_t bytes) const {
  const std::lock_guard lock(state_->mutex);
  if (bytes > state_->limit / 2 || state_->claimed > state_->limit / 2 - bytes) {
    ++state_->refused_claims;
    return nullptr;
  }
  state_->claimed += bytes;
  state_->Shrink();
  return std::make_unique<const Claim>(state_, bytes);
}

IndexCache::Totals IndexCache::totals() const {
  const std::lock_guard lock(state_->mutex);
  return {.limit_bytes = state_->limit,
          .bytes = state_->bytes + state_->claimed,
          .claimed_bytes = state_->claimed,
          .refused_claims = state_->refused_claims,
          .files_with_filters = state_->with_filters.size(),
          .files_with_fences = state_->with_fences.size(),
          .evictions = state_->evictions};
}

}  // namespace steno
