#include "query/store.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <utility>

#include "query/directory_catalog.h"
#include "query/live_file.h"
#include "query/published_file.h"

namespace steno {

struct Store::Impl {
  std::mutex mutex;
  std::vector<StoreDirectory> directories;  // each once
  std::vector<size_t> places;               // in directories, of each thread's
  std::shared_ptr<ProblemLog> log = std::make_shared<ProblemLog>();
  std::unique_ptr<IndexCache> cache;
  std::vector<DirectoryCatalog> catalogs;
  std::vector<std::shared_ptr<const Arena>> arenas;

  using LiveFiles = std::vector<std::shared_ptr<const LiveFile>>;

  LiveFiles TakeLive(std::vector<std::string>& problems) const;
  StoreSnapshot Take(std::vector<std::string>& problems);
  void AddDirectory(const DirectoryCatalog& catalog, LiveFiles live, StoreSnapshot& snapshot) const;
};

Store::Impl::LiveFiles Store::Impl::TakeLive(std::vector<std::string>& problems) const {
  LiveFiles files;
  for (size_t thread = 0; thread < std::min(arenas.size(), places.size()); ++thread) {
    if (!arenas[thread]) continue;
    const size_t place = places[thread];
    for (unsigned segment = 0; segment < kArenaSegments; ++segment) {
      auto live =
          LiveFile::Take(directories[place], static_cast<uint32_t>(place), arenas[thread], segment, log);
      if (!live) problems.push_back(live.error().message);
      if (live && *live) files.push_back(std::move(*live));
    }
  }
  std::ranges::sort(files, {}, [](const auto& file) { return file->file_id(); });
  return files;
}

// Of a file that is live and published the published one counts, once it has its index. Until then the live
// one has all of it if it is complete; one that is not was cut off by a crash, and recovery may have saved
// more.
void Store::Impl::AddDirectory(const DirectoryCatalog& catalog, LiveFiles live,
                               StoreSnapshot& snapshot) const {
  for (const auto& sealed : catalog.files()) {
    const auto twin = std::ranges::find_if(live, [&](const auto& file) {
      return sealed->file_tag() != 0 ? sealed->file_tag() == file->file_tag()
                                     : sealed->file_id() == file->file_id();
    });
    const bool prefer_live = twin != live.end() && !sealed->indexed() && (*twin)->complete();
    if (prefer_live) continue;
    if (twin != live.end()) live.erase(twin);
    snapshot.push_back(sealed);
  }
  std::ranges::move(live, std::back_inserter(snapshot));
}

StoreSnapshot Store::Impl::Take(std::vector<std::string>& problems) {
  const LiveFiles live = TakeLive(problems);
  for (DirectoryCatalog& catalog : catalogs) catalog.Refresh(problems);
  StoreSnapshot snapshot;
  for (size_t place = 0; place < catalogs.size(); ++place) {
    LiveFiles own;
    std::ranges::copy_if(live, std::back_inserter(own),
                         [&](const auto& file) { return file->thread() == place; });
    AddDirectory(catalogs[place], std::move(own), snapshot);
  }
  return snapshot;
}

Store::Store(const std::vector<StoreDirectory>& directories, const Options& options)
    : impl_(std::make_unique<Impl>()) {
  std::vector<StoreDirectory>& distinct = impl_->directories;
  for (const StoreDirectory& directory : directories) {
    const auto same = std::ranges::find(distinct, directory);
    impl_->places.push_back(static_cast<size_t>(same - distinct.begin()));
    if (same == distinct.end()) distinct.push_back(directory);
  }
  impl_->cache = std::make_unique<IndexCache>(options.index_cache_bytes);
  for (size_t place = 0; place < distinct.size(); ++place) {
    impl_->catalogs.emplace_back(distinct[place], static_cast<uint32_t>(place), impl_->log, *impl_->cache);
  }
}

Store::~Store() = default;

void Store::SetArenas(std::vector<std::shared_ptr<const Arena>> arenas) {
  const std::lock_guard lock(impl_->mutex);
  impl_->arenas = std::move(arenas);
}

StoreSnapshot Store::Snapshot(std::vector<std::string>* problems) {
  std::vector<std::string> found;
  const std::lock_guard lock(impl_->mutex);
  StoreSnapshot snapshot = impl_->Take(found);
  if (problems != nullptr) {
    std::ranges::move(found, std::back_inserter(*problems));
    std::ranges::move(impl_->log->Take(), std::back_inserter(*problems));
  }
  return snapshot;
}

Store::Totals Store::totals() {
  Totals totals;
  std::vector<std::string> problems;
  const std::lock_guard lock(impl_->mutex);
  const StoreSnapshot snapshot = impl_->Take(problems);
  for (const DirectoryCatalog& catalog : impl_->catalogs) {
    totals.files += catalog.files().size();
    totals.unindexed_files += static_cast<uint64_t>(
        std::ranges::count_if(catalog.files(), [](const auto& file) { return !file->indexed(); }));
  }
  totals.index_cache = impl_->cache->totals();
  // Names are the times of first packets. A directory's first file has its oldest packets, unless packets
  // came out of order (in captured files): those that an index tells of count, too, at no cost.
  for (size_t thread = 0; thread < impl_->catalogs.size(); ++thread) {
    int64_t oldest_ns = INT64_MAX;
    bool first = true;
    for (const auto& file : snapshot) {
      if (file->thread() != thread || !(std::exchange(first, false) || file->times_known())) continue;
      if (file->first_ns() <= file->last_ns()) oldest_ns = std::min(oldest_ns, file->first_ns());
    }
    if (oldest_ns == INT64_MAX) oldest_ns = 0;
    totals.oldest_ns = std::max(totals.oldest_ns, oldest_ns);
    totals.directories.push_back({impl_->directories[thread].packets_directory, oldest_ns});
  }
  return totals;
}

}  // namespace steno
