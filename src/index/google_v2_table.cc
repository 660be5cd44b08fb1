#include "index/google_v2_table.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>

#include <array>
#include <new>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "index/byte_stream.h"

namespace steno {
namespace {

constexpr size_t kBytesPerCheck = 256 * 1024;  // of a list of positions

// table/format.h of LevelDB: two handles of two varints each, padded to 40 bytes, and this number.
constexpr uint64_t kTableMagic = 0xdb4775248b80fb57;
constexpr size_t kFooterBytes = 48;
constexpr size_t kHandleBytes = 40;
constexpr uint32_t kVersion = 2;

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

[[nodiscard]] Error CorruptTable(const std::string& path, std::string_view what) {
  return Error::Corrupt(fmt::format("{}: {}", path, what));
}

}  // namespace

GoogleTable::GoogleTable(std::string path) : path_(std::move(path)) {}
GoogleTable::~GoogleTable() = default;

Result<std::unique_ptr<GoogleTable>> GoogleTable::Open(const std::string& path) {
  std::unique_ptr<GoogleTable> table(new GoogleTable(path));
  try {
    STENO_CHECK_OK(table->OpenTable());
    STENO_CHECK_OK(table->CheckVersion());
  } catch (const std::bad_alloc&) {
    return Fail(CorruptTable(path, "a block of it is larger than memory"));
  }
  return table;
}

Status GoogleTable::OpenTable() {
  STENO_TRY(UniqueFd fd, OpenFile(path_, O_RDONLY));
  STENO_TRY(const uint64_t bytes, FileSize(fd.get(), path_));
  std::array<uint8_t, kFooterBytes> footer;
  if (bytes < footer.size()) return Fail(CorruptTable(path_, "too short for a table of LevelDB"));
  STENO_CHECK_OK(ReadFully(fd.get(), footer, bytes - footer.size(), path_));
  if (LoadLe<uint64_t>(footer.data() + kHandleBytes) != kTableMagic || !FooterFits(footer, bytes)) {
    return Fail(CorruptTable(path_, "not a table of LevelDB"));
  }
  file_ = std::make_unique<PlainFile>(std::move(fd), path_);
  leveldb::Options options;
  options.paranoid_checks = true;
  leveldb::Table* opened = nullptr;
  const leveldb::Status status = leveldb::Table::Open(options, file_.get(), bytes, &opened);
  table_.reset(opened);
  if (!status.ok()) return Fail(CorruptTable(path_, status.ToString()));
  return {};
}

Status GoogleTable::CheckVersion() const {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  const std::unique_ptr<leveldb::Iterator> at(table_->NewIterator(options));
  at->SeekToFirst();
  if (!at->Valid() || at->key() != leveldb::Slice("\0", 1) || at->value().size() != 8)
    return Fail(CorruptTable(path_, "it does not begin with a version"));
  const auto version = LoadBe<uint32_t>(reinterpret_cast<const uint8_t*>(at->value().data()));
  if (version == kVersion) return {};
  return Fail(Error::Unsupported(fmt::format("{}: version {}, expected {}", path_, version, kVersion)));
}

Status GoogleTable::Scan(const std::string& first, const std::string& last,
                         const std::function<void(uint32_t)>& visit) const try {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> at(table_->NewIterator(options));
  for (at->Seek(first); at->Valid() && at->key().compare(last) <= 0; at->Next()) {
    STENO_CHECK_OK(CheckInterrupt());
    if (at->key().size() != first.size()) continue;  // not a key of this attribute
    const leveldb::Slice list = at->value();
    if (list.size() % 4 != 0) return Fail(CorruptTable(path_, "a list of positions is cut off"));
    for (size_t i = 0; i < list.size(); i += 4) {
      if (i % kBytesPerCheck == 0) STENO_CHECK_OK(CheckInterrupt());
      visit(LoadBe<uint32_t>(reinterpret_cast<const uint8_t*>(list.data()) + i));
    }
  }
  if (!at->status().ok()) return Fail(CorruptTable(path_, at->status().ToString()));
  return {};
} catch (const std::bad_alloc&) {
  return Fail(CorruptTable(path_, "a block of it is larger than memory"));
}

std::string GoogleKey(GoogleAttribute attribute, uint64_t value, size_t bytes) {
  std::string key(1, static_cast<char>(attribute));
  for (size_t i = bytes; i-- > 0;) key += static_cast<char>(value >> (8 * i));
  return key;
}

std::string GoogleKey(const Address& address) {
  if (address.family == 4) return GoogleKey(kIpv4Key, address.low, 4);
  std::string key = GoogleKey(kIpv6Key, address.high, 8);
  return key + GoogleKey(kIpv6Key, address.low, 8).substr(1);
}

bool IsLevelDbTable(const std::string& path) {
  const auto fd = OpenFile(path, O_RDONLY);
  if (!fd) return false;
  const auto bytes = FileSize(fd->get(), path);
  std::array<uint8_t, 8> magic;
  return bytes && *bytes >= kFooterBytes && ReadFully(fd->get(), magic, *bytes - magic.size(), path) &&
         LoadLe<uint64_t>(magic.data()) == kTableMagic;
}

}  // namespace steno
