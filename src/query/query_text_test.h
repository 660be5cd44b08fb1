// Random query texts over the whole language, and libpcap's opinion of those that tcpdump understands.
#pragma once

#include <pcap/pcap.h>

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace steno::testing {

// The values that queries are made from.
struct QueryPools {
  std::vector<std::string> v4;
  std::vector<std::string> v6;
  std::vector<std::string> macs;
  std::vector<int> ports;
};
// Those of the random frames.
QueryPools FramePools();

class QueryWriter {
 public:
  // Both are borrowed.
  QueryWriter(std::mt19937_64& random, const QueryPools& pools) : random_(random), pools_(pools) {}

  // What tcpdump understands too, and means alike on packets without encapsulation. Without superfluous
  // parentheses, so that precedence counts.
  std::string Tcpdump(unsigned depth = 3);
  // Either syntax, with times between the two and around them.
  std::string Query(int64_t begin_ns, int64_t end_ns);
  // One comparison of bytes, such as "(ip[2:2] & 0xff) >> 2 != 5".
  std::string Relation();

 private:
  struct Valued;

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  template <class T>
  const T& Pick(const std::vector<T>& pool) {
    return pool[Below(pool.size())];
  }

  std::string Filter(unsigned depth, bool own);
  std::string TcpdumpPrimitive();
  std::string OwnPrimitive();
  std::string Word();
  std::string Arithmetic(unsigned depth);
  std::string Bytes(unsigned depth);
  std::string Number();
  Valued MakeValued();
  std::string Value(int type);
  std::string Network(bool v6);
  std::string PortRange();
  std::string Range(uint64_t first, uint64_t count, uint64_t last);
  std::string Time();
  std::string Original();
  std::string OriginalTerm();
  std::string AnyCase(std::string text);

  std::mt19937_64& random_;
  const QueryPools& pools_;
  int64_t begin_ns_ = 0;
  int64_t end_ns_ = 0;
};

// libpcap's opinion. Not optimised, so that a filter that can match nothing still compiles.
class PcapFilter {
 public:
  explicit PcapFilter(const std::string& text);
  PcapFilter(const PcapFilter&) = delete;
  PcapFilter& operator=(const PcapFilter&) = delete;
  ~PcapFilter();

  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] bool Matches(std::span<const uint8_t> frame, size_t wire_bytes) const;

 private:
  pcap_t* pcap_;
  bpf_program program_{};
  std::string error_;
};

// The number in an environment variable, or another one if it is not set.
uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise);

}  // namespace steno::testing
