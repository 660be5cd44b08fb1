#include "query/published_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "index/google_v2.h"
#include "index/google_v2_table.h"
#include "index/owner.h"
#include "index/sealed_index.h"
#include "query/may_match.h"

namespace steno {
namespace {

// Around the times that name and modification of a file of the incumbent suggest: its packets may be older
// than the file by the age of a ring block, and younger than its last write by clock steps.
constexpr int64_t kGuessSlackNs = 300 * kNsPerSecond;

constexpr int64_t kMaxTime = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinTime = std::numeric_limits<int64_t>::min();

int64_t ToNs(const timespec& time) { return int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec; }

}  // namespace

void ProblemLog::Add(std::string line) {
  STENO_WARN("{}", line);
  const std::lock_guard lock(mutex_);
  lines_.push_back(std::move(line));
}

std::vector<std::string> ProblemLog::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

PacketOrigin OriginOf(const FileIdentity& identity, uint32_t thread) {
  return {identity.interface_name, thread, identity.link_type, identity.snaplen};
}

bool IsGone(const Error& error) { return error.code == ErrorCode::kNotFound || error.sys_errno == ENOENT; }

IndexStamp StampOf(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return {};
  return {info.st_ino, ToNs(info.st_ctim)};
}

Result<std::shared_ptr<const PublishedFile>> PublishedFile::Load(const StoreDirectory& directory,
                                                                 uint32_t thread, const std::string& name,
                                                                 std::shared_ptr<ProblemLog> log,
                                                                 IndexCache* cache) {
  const std::shared_ptr<PublishedFile> published(new PublishedFile);
  published->name_ = name;
  published->path_ = directory.packets_directory + "/" + name;
  if (!directory.index_directory.empty()) published->index_path_ = directory.index_directory + "/" + name;
  published->thread_ = thread;
  published->log_ = std::move(log);
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), published->file_id_);
  if (code != std::errc() || end != name.data() + name.size()) {
    return Fail(
        Error::Invalid(published->path_ + ": expected a name of digits, microseconds since the epoch"));
  }
  STENO_TRY(const PacketFile file, published->OpenPackets());
  STENO_TRY(published->identity_, ReadFileIdentity(file));
  STENO_TRY(const uint64_t bytes, FileSize(file.fd(), published->path_));
  published->LoadGuess(file);
  published->LoadIndex(bytes, cache);
  return published;
}

void PublishedFile::LoadIndex(uint64_t file_bytes, IndexCache* cache) {
  index_stamp_ = StampOf(index_path_);
  if (index_stamp_ == IndexStamp{}) return;
  if (!identity_.ours && IsLevelDbTable(index_path_)) {
    google_ = true;
    if (cache != nullptr) cache_ = *cache;
    covered_ = false;  // times are guessed
    indexed_.store(true, std::memory_order_release);
    return;
  }
  IndexDigest digest;
  const Result<IndexSummary> summary = ReadIndexSummary(index_path_, cache != nullptr ? &digest : nullptr);
  if (!summary) {
    if (!IsGone(summary.error())) GiveUpIndex(summary.error().message);
    return;
  }
  if (const Status owned = CheckFileTag(index_path_, summary->file_tag, identity_.file_tag); !owned)
    return GiveUpIndex(owned.error().message);
  indexed_times_ = {summary->first_ns, summary->last_ns};
  covered_ = file_bytes <= summary->packet_file_bytes;
  raw_ = summary->raw;
  if (covered_ && !digest.empty()) cached_ = cache->Add(file_id_, std::move(digest));
  indexed_.store(true, std::memory_order_release);
}

void PublishedFile::LoadGuess(const PacketFile& file) {
  guess_ = {kMinTime, kMaxTime};
  struct stat info{};
  constexpr uint64_t kMaxId = static_cast<uint64_t>(kMaxTime / kNsPerUs);
  if (file_id_ <= kMaxId) guess_.first_ns = static_cast<int64_t>(file_id_) * kNsPerUs - kGuessSlackNs;
  if (::fstat(file.fd(), &info) == 0) guess_.last_ns = ToNs(info.st_mtim) + kGuessSlackNs;
  // A name that is later than the last write is no time: the file was renamed by hand.
  if (guess_.first_ns > guess_.last_ns) guess_ = {kMinTime, kMaxTime};
}

TimeSpan PublishedFile::Bounds() const {
  if (indexed() && covered_) return indexed_times_;
  // Walking costs one small read per block of our files, but reading all of a file of the incumbent: those
  // are guessed.
  if (!identity_.ours) return guess_;
  const Result<PacketFile> file = OpenPackets();
  if (!file) return {kMinTime, kMaxTime};  // gone or unreadable: who opens it will say so
  const auto table = Walk(*file);
  if (!table || !(*table)->clean) return {kMinTime, kMaxTime};
  return SpanOf((*table)->blocks);
}

bool PublishedFile::MayMatch(const Expression& expression, Effort effort) const {
  const auto digest = cached_ && indexed() ? cached_->digest() : nullptr;
  if (!digest) return true;
  const bool read = effort == Effort::kSmallRead && !digest->has_filters();
  return steno::MayMatch(expression, indexed_times_, [&](const Address& address) {
    // Who opens the file will find out what is wrong with its index.
    return read ? digest->Holds(index_path_, address).value_or(true) : digest->MayHold(address);
  });
}

bool PublishedFile::IndexChanged() const {
  const IndexStamp now = StampOf(index_path_);
  return now != IndexStamp{} && now != index_stamp_;
}

void PublishedFile::GiveUpIndex(const std::string& why) const {
  indexed_.store(false, std::memory_order_release);
  log_->Add(why + "; reading " + path_ + " without its index");
}

Result<PacketFile> PublishedFile::OpenPackets() const {
  Result<PacketFile> file = PacketFile::Open(path_);
  if (!file && IsGone(file.error())) return Fail(Error::NotFound(file.error().message));
  return file;
}

Result<OpenedFile> PublishedFile::Open() const {
  STENO_TRY(PacketFile file, OpenPackets());
  if (!indexed()) return OpenWithoutIndex(std::move(file));
  auto index = OpenIndex(file);
  if (!index) {
    // Retention deletes a file before its index: who has the file and no index reads it all.
    if (IsUnusableIndex(index.error())) GiveUpIndex(index.error().message);
    return OpenWithoutIndex(std::move(file));
  }
  OpenedFile opened;
  opened.file = std::make_unique<PacketFile>(std::move(file));
  opened.index = std::move(*index);
  opened.blocks.assign(opened.index->blocks().begin(), opened.index->blocks().end());
  opened.origin = OriginOf(identity_, thread_);
  if (!covered_ && !google_) STENO_CHECK_OK(AddUncovered(opened));
  return opened;
}

Result<std::unique_ptr<FlowIndex>> PublishedFile::OpenIndex(const PacketFile& file) const {
  if (!google_) return OpenSealedIndex(index_path_);
  STENO_TRY(std::shared_ptr<const GoogleGaps> gaps, FindGaps(file));
  return OpenGoogleIndex(index_path_, std::move(gaps));
}

Result<std::shared_ptr<const GoogleGaps>> PublishedFile::FindGaps(const PacketFile& file) const {
  STENO_TRY(const auto lock, LockInterruptibly(walk_mutex_));
  if (!gaps_) {
    STENO_TRY(BlockTable table, file.ListForeignBlocks());
    if (!table.clean) return Fail(Error::Corrupt(path_ + ": there are bytes that are no blocks"));
    STENO_TRY(GoogleGaps gaps, FindGoogleGaps(index_path_, file, std::move(table.blocks)));
    if (cache_ && !(claim_ = cache_->TryClaim(gaps.bytes()))) gaps.Shrink();
    gaps_ = std::make_shared<const GoogleGaps>(std::move(gaps));
  }
  return gaps_;
}

// A segment that could take no more blocks (or lost track of them) was sealed without the file's last ones.
Status PublishedFile::AddUncovered(OpenedFile& opened) const {
  STENO_TRY(const std::shared_ptr<const BlockTable> table, Walk(*opened.file));
  uint64_t end = 0;
  for (const BlockEntry& block : opened.blocks) end = std::max(end, block.file_offset + block.used_bytes);
  for (BlockEntry block : table->blocks) {
    if (block.file_offset < end) continue;
    block.flags |= kBlockUnindexed;
    opened.blocks.push_back(block);
  }
  opened.problem = DamageIn(*table);
  return {};
}

std::string PublishedFile::DamageIn(const BlockTable& table) const {
  if (table.clean) return {};
  if (table.missing_blocks != 0)
    return fmt::format("{}: {} blocks are missing or damaged", path_, table.missing_blocks);
  return fmt::format("{}: bytes from {} on are not blocks of this file", path_, table.valid_bytes);
}

Result<OpenedFile> PublishedFile::OpenForScan(const Error& why) const {
  if (indexed() && IsUnusableIndex(why)) GiveUpIndex(why.message);
  STENO_TRY(PacketFile file, OpenPackets());
  return OpenWithoutIndex(std::move(file));
}

Result<std::shared_ptr<const BlockTable>> PublishedFile::Walk(const PacketFile& file) const {
  STENO_TRY(const auto lock, LockInterruptibly(walk_mutex_));
  if (!walked_) {
    STENO_TRY(BlockTable table, file.WalkBlocks());
    walked_ = std::make_shared<const BlockTable>(std::move(table));
  }
  return walked_;
}

Result<OpenedFile> PublishedFile::OpenWithoutIndex(PacketFile file) const {
  STENO_TRY(const std::shared_ptr<const BlockTable> table, Walk(file));
  OpenedFile opened;
  opened.blocks = table->blocks;
  opened.origin = {table->interface_name, thread_, table->link_type, identity_.snaplen};
  opened.problem = DamageIn(*table);
  opened.file = std::make_unique<PacketFile>(std::move(file));
  return opened;
}

}  // namespace steno
