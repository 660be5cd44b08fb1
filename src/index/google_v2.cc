#include "index/google_v2.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>

#include <algorithm>
#include <array>
#include <functional>
#include <mutex>
#include <new>
#include <optional>

#include "base/bytes.h"
#include "base/file.h"
#include "index/byte_stream.h"
#include "index/segment.h"
#include "packet/wire.h"

namespace steno {
namespace {

// table/format.h of LevelDB: two handles of two varints each, padded to 40 bytes, and this number.
constexpr uint64_t kTableMagic = 0xdb4775248b80fb57;
constexpr size_t kFooterBytes = 48;
constexpr size_t kHandleBytes = 40;
constexpr uint32_t kVersion = 2;
constexpr uint64_t kMaxGranules = uint64_t{1} << 24;  // 256 GiB; positions have 32 bits, so files 4 GiB

enum Attribute : uint8_t { kProtocolKey = 1, kPortKey = 2, kIpv4Key = 4, kMplsKey = 5, kIpv6Key = 6 };

// Protocols behind which there may be another layer, or ports, that the incumbent did not look for.
constexpr std::array<uint8_t, 11> kDeepProtocols = {
    wire::kIpHopByHop, wire::kIpIpv4, wire::kIpIpv6, wire::kIpRouting,
    wire::kIpFragment, wire::kIpGre,  wire::kIpAh,   wire::kIpDestination,
    wire::kIpMobility, wire::kIpHip,  wire::kIpShim6};
constexpr std::array<uint16_t, 3> kDeepPorts = {wire::kPortGtpU, wire::kPortVxlan, wire::kPortGeneve};

// LevelDB's own maps the file, and dies of a file that is cut off under it.
class PlainFile final : public leveldb::RandomAccessFile {
 public:
  PlainFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  leveldb::Status Read(uint64_t offset, size_t bytes, leveldb::Slice* result, char* scratch) const override {
    const auto got = ReadSome(fd_.get(), {reinterpret_cast<uint8_t*>(scratch), bytes}, offset, path_);
    if (!got) return leveldb::Status::IOError(got.error().message);
    *result = leveldb::Slice(scratch, *got);
    return leveldb::Status::OK();
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

// LevelDB allocates what a handle says before it looks whether there is so much.
bool FooterFits(std::span<const uint8_t> footer, uint64_t file_bytes) {
  ByteReader handles(footer.first(kHandleBytes));
  for (int handle = 0; handle < 2; ++handle) {
    const auto offset = handles.Varint<uint64_t>();
    const auto bytes = handles.Varint<uint64_t>();
    if (!handles.ok() || offset > file_bytes || bytes > file_bytes - offset) return false;
  }
  return true;
}

// The table of one file. Its iterators belong to one thread each.
class Table {
 public:
  static Result<std::unique_ptr<Table>> Open(const std::string& path);

  // Calls visit(position) for all packets of the keys `first` to `last` (same length), by key.
  Status Scan(const std::string& first, const std::string& last,
              const std::function<void(uint32_t)>& visit) const;

 private:
  explicit Table(std::string path) : path_(std::move(path)) {}
  Status OpenTable();
  Status CheckVersion() const;
  [[nodiscard]] Error Corrupt(std::string_view what) const {
    return Error::Corrupt(fmt::format("{}: {}", path_, what));
  }

  std::string path_;
  std::unique_ptr<leveldb::RandomAccessFile> file_;  // outlives the table
  std::unique_ptr<leveldb::Table> table_;
};

Result<std::unique_ptr<Table>> Table::Open(const std::string& path) {
  std::unique_ptr<Table> table(new Table(path));
  try {
    STENO_CHECK_OK(table->OpenTable());
    STENO_CHECK_OK(table->CheckVersion());
  } catch (const std::bad_alloc&) {
    return Fail(table->Corrupt("a block of it is larger than memory"));
  }
  return table;
}

Status Table::OpenTable() {
  STENO_TRY(UniqueFd fd, OpenFile(path_, O_RDONLY));
  STENO_TRY(const uint64_t bytes, FileSize(fd.get(), path_));
  std::array<uint8_t, kFooterBytes> footer;
  if (bytes < footer.size()) return Fail(Corrupt("too short for a table of LevelDB"));
  STENO_CHECK_OK(ReadFully(fd.get(), footer, bytes - footer.size(), path_));
  if (LoadLe<uint64_t>(footer.data() + kHandleBytes) != kTableMagic || !FooterFits(footer, bytes)) {
    return Fail(Corrupt("not a table of LevelDB"));
  }
  file_ = std::make_unique<PlainFile>(std::move(fd), path_);
  leveldb::Options options;
  options.paranoid_checks = true;
  leveldb::Table* opened = nullptr;
  const leveldb::Status status = leveldb::Table::Open(options, file_.get(), bytes, &opened);
  table_.reset(opened);
  if (!status.ok()) return Fail(Corrupt(status.ToString()));
  return {};
}

Status Table::CheckVersion() const {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  const std::unique_ptr<leveldb::Iterator> at(table_->NewIterator(options));
  at->SeekToFirst();
  if (!at->Valid() || at->key() != leveldb::Slice("\0", 1) || at->value().size() != 8)
    return Fail(Corrupt("it does not begin with a version"));
  const auto version = LoadBe<uint32_t>(reinterpret_cast<const uint8_t*>(at->value().data()));
  if (version == kVersion) return {};
  return Fail(Error::Unsupported(fmt::format("{}: version {}, expected {}", path_, version, kVersion)));
}

Status Table::Scan(const std::string& first, const std::string& last,
                   const std::function<void(uint32_t)>& visit) const try {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> at(table_->NewIterator(options));
  for (at->Seek(first); at->Valid() && at->key().compare(last) <= 0; at->Next()) {
    if (at->key().size() != first.size()) continue;  // not a key of this attribute
    const leveldb::Slice list = at->value();
    if (list.size() % 4 != 0) return Fail(Corrupt("a list of positions is cut off"));
    for (size_t i = 0; i < list.size(); i += 4) {
      visit(LoadBe<uint32_t>(reinterpret_cast<const uint8_t*>(list.data()) + i));
    }
  }
  if (!at->status().ok()) return Fail(Corrupt(at->status().ToString()));
  return {};
} catch (const std::bad_alloc&) {
  return Fail(Corrupt("a block of it is larger than memory"));
}

std::string KeyOf(Attribute attribute, uint64_t value, size_t bytes) {
  std::string key(1, static_cast<char>(attribute));
  for (size_t i = bytes; i-- > 0;) key += static_cast<char>(value >> (8 * i));
  return key;
}

std::string KeyOf(const Address& address) {
  if (address.family == 4) return KeyOf(kIpv4Key, address.low, 4);
  std::string key = KeyOf(kIpv6Key, address.high, 8);
  return key + KeyOf(kIpv6Key, address.low, 8).substr(1);
}

class GoogleIndex final : public FlowIndex {
 public:
  GoogleIndex(std::unique_ptr<Table> table, std::vector<BlockEntry> blocks, uint32_t granules)
      : table_(std::move(table)),
        blocks_(std::move(blocks)),
        granules_(granules),
        first_packet_(granules, kNoPacketInGranule) {}

  [[nodiscard]] uint32_t flow_count() const override { return granules_; }
  [[nodiscard]] std::span<const BlockEntry> blocks() const override { return blocks_; }
  [[nodiscard]] Result<FlowMatch> Match(const Term& term) const override;
  [[nodiscard]] Result<std::vector<uint32_t>> Granules(const FlowSet& flows) const override;
  // The first of those that any term has named: no other of the granule is asked for.
  [[nodiscard]] uint16_t FirstPacket(uint32_t granule) const override;

 private:
  Status Add(const std::string& first, const std::string& last, FlowSet& set) const;
  Status AddDeep(FlowSet& set) const;

  const std::unique_ptr<Table> table_;
  const std::vector<BlockEntry> blocks_;
  const uint32_t granules_;
  mutable std::mutex mutex_;
  mutable std::vector<uint16_t> first_packet_;  // guarded by mutex_, as is deep_
  mutable std::optional<FlowSet> deep_;         // what every term may match
};

// REQUIRES: mutex_ is held.
Status GoogleIndex::Add(const std::string& first, const std::string& last, FlowSet& set) const {
  bool outside = false;
  STENO_CHECK_OK(table_->Scan(first, last, [&](uint32_t position) {
    const uint64_t granule = position / kGranuleBytes;
    if (granule >= granules_) {
      outside = true;
      return;
    }
    set.Add(static_cast<uint32_t>(granule));
    uint16_t& at = first_packet_[granule];
    at = std::min(at, static_cast<uint16_t>(position % kGranuleBytes));
  }));
  if (outside)
    return Fail(Error::Corrupt("an index of the incumbent names packets behind the end of the file"));
  return {};
}

Status GoogleIndex::AddDeep(FlowSet& set) const {
  if (!deep_) {
    FlowSet deep(granules_);
    for (const uint8_t protocol : kDeepProtocols) {
      const std::string key = KeyOf(kProtocolKey, protocol, 1);
      STENO_CHECK_OK(Add(key, key, deep));
    }
    for (const uint16_t port : kDeepPorts) {
      const std::string key = KeyOf(kPortKey, port, 2);
      STENO_CHECK_OK(Add(key, key, deep));
    }
    STENO_CHECK_OK(Add(KeyOf(kMplsKey, 0, 4), KeyOf(kMplsKey, UINT32_MAX, 4), deep));
    deep_ = std::move(deep);
  }
  set.Or(*deep_);
  return {};
}

Result<FlowMatch> GoogleIndex::Match(const Term& term) const {
  const std::lock_guard lock(mutex_);
  // A granule is more than one flow: nothing is true of all its packets.
  FlowMatch match{FlowSet(granules_), FlowSet(granules_)};
  switch (term.kind) {
    case TermKind::kAddress:
      STENO_CHECK_OK(Add(KeyOf(term.addresses.first), KeyOf(term.addresses.last), match.may));
      break;
    case TermKind::kPort: {
      STENO_CHECK_OK(Add(KeyOf(kPortKey, term.first, 2), KeyOf(kPortKey, term.last, 2), match.may));
      const std::string sctp = KeyOf(kProtocolKey, wire::kIpSctp, 1);  // has ports that it does not know
      STENO_CHECK_OK(Add(sctp, sctp, match.may));
      break;
    }
    case TermKind::kProtocol:
      STENO_CHECK_OK(Add(KeyOf(kProtocolKey, term.first, 1), KeyOf(kProtocolKey, term.last, 1), match.may));
      break;
    default:  // headers of which it knows nothing, or too little
      match.may = FlowSet(granules_, true);
      return match;
  }
  STENO_CHECK_OK(AddDeep(match.may));
  return match;
}

Result<std::vector<uint32_t>> GoogleIndex::Granules(const FlowSet& flows) const {
  std::vector<uint32_t> granules;
  flows.ForEach([&](uint32_t granule) { granules.push_back(granule); });
  return granules;
}

uint16_t GoogleIndex::FirstPacket(uint32_t granule) const {
  const std::lock_guard lock(mutex_);
  return granule < granules_ ? first_packet_[granule] : kNoPacketInGranule;
}

}  // namespace

bool IsLevelDbTable(const std::string& path) {
  const auto fd = OpenFile(path, O_RDONLY);
  if (!fd) return false;
  const auto bytes = FileSize(fd->get(), path);
  std::array<uint8_t, 8> magic;
  return bytes && *bytes >= kFooterBytes && ReadFully(fd->get(), magic, *bytes - magic.size(), path) &&
         LoadLe<uint64_t>(magic.data()) == kTableMagic;
}

Result<std::vector<BlockEntry>> MarkGoogleUnindexed(const std::string& path, std::vector<BlockEntry> blocks) {
  STENO_TRY(const auto table, Table::Open(path));
  // Every IP packet is in the list of one protocol, once.
  std::vector<uint32_t> indexed(blocks.size());
  STENO_CHECK_OK(table->Scan(KeyOf(kProtocolKey, 0, 1), KeyOf(kProtocolKey, 255, 1), [&](uint32_t position) {
    const auto behind = std::ranges::upper_bound(blocks, uint64_t{position}, {}, &BlockEntry::file_offset);
    if (behind != blocks.begin()) ++indexed[static_cast<size_t>(behind - blocks.begin()) - 1];
  }));
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (indexed[i] != blocks[i].packet_count) blocks[i].flags |= kBlockUnindexed;
  }
  return blocks;
}

Result<std::unique_ptr<FlowIndex>> OpenGoogleIndex(const std::string& path, std::vector<BlockEntry> blocks) {
  STENO_TRY(std::unique_ptr<Table> table, Table::Open(path));
  uint64_t end = 0;
  for (const BlockEntry& block : blocks) end = std::max(end, block.file_offset + block.used_bytes);
  const uint64_t granules = (end + kGranuleBytes - 1) / kGranuleBytes;
  if (granules > kMaxGranules) return Fail(Error::Unsupported(path + ": its packet file is too large"));
  return std::unique_ptr<FlowIndex>(
      std::make_unique<GoogleIndex>(std::move(table), std::move(blocks), static_cast<uint32_t>(granules)));
}

}  // namespace steno
