// The table of LevelDB that is an index of the incumbent (google_v2.h), as keys and lists of packet
// positions.
//
// Any bytes are safe: what is no table, or is damaged, is an error (kCorrupt, kUnsupported).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "packet/address.h"

namespace leveldb {
class RandomAccessFile;
class Table;
}  // namespace leveldb

namespace steno {

// The first byte of a key.
enum GoogleAttribute : uint8_t { kProtocolKey = 1, kPortKey = 2, kIpv4Key = 4, kMplsKey = 5, kIpv6Key = 6 };

// The key of a value of `bytes` bytes.
std::string GoogleKey(GoogleAttribute attribute, uint64_t value, size_t bytes);
std::string GoogleKey(const Address& address);

// True if the file ends as a table of LevelDB does. No guess about the rest.
bool IsLevelDbTable(const std::string& path);

// Thread-safe.
class GoogleTable {
 public:
  static Result<std::unique_ptr<GoogleTable>> Open(const std::string& path);
  ~GoogleTable();

  // Calls visit(position) for all packets of the keys `first` to `last` (same length), by key: the offset of
  // a packet's header in its file, whatever the table says.
  Status Scan(const std::string& first, const std::string& last,
              const std::function<void(uint32_t)>& visit) const;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit GoogleTable(std::string path);
  Status OpenTable();
  Status CheckVersion() const;

  std::string path_;
  std::unique_ptr<leveldb::RandomAccessFile> file_;  // outlives the table
  std::unique_ptr<leveldb::Table> table_;
};

}  // namespace steno
