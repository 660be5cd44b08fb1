#include "index/flow_columns.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "index/packed_column.h"
#include "index/prefix_sort.h"

namespace steno {
namespace {

constexpr size_t kKeyWord = 8;

// has_ports (1 bit), protocol (8), port (16).
uint64_t ServiceOf(const FlowDetails& flow, uint16_t port) {
  return uint64_t{flow.has_ports} << 24 | uint64_t{flow.protocol} << 16 | port;
}

// Of both ports of each flow, the one that more flows have.
std::vector<uint16_t> ChooseServicePorts(std::span<const FlowDetails> flows) {
  std::vector<uint32_t> frequency(1 << 16);
  for (const FlowDetails& flow : flows) {
    ++frequency[flow.port_a];
    ++frequency[flow.port_b];
  }
  std::vector<uint16_t> chosen;
  chosen.reserve(flows.size());
  for (const FlowDetails& flow : flows) {
    const auto [low, high] = std::minmax(flow.port_a, flow.port_b);
    chosen.push_back(frequency[high] > frequency[low] ? high : low);
  }
  return chosen;
}

// Runs of equal services in a sorted list of (service << 32 | flow).
struct ServiceRun {
  uint32_t begin;
  uint32_t end;
};

std::vector<ServiceRun> RunsByFrequency(std::span<const uint64_t> sorted) {
  std::vector<ServiceRun> runs;
  for (uint32_t at = 0; at < sorted.size(); ++at) {
    if (at == 0 || sorted[at] >> 32 != sorted[at - 1] >> 32) runs.push_back({at, at});
    runs.back().end = at + 1;
  }
  std::ranges::sort(runs, [](const ServiceRun& left, const ServiceRun& right) {
    return std::pair(right.end - right.begin, left.begin) < std::pair(left.end - left.begin, right.begin);
  });
  return runs;
}

}  // namespace

std::vector<FlowDetails> PlainDetails(const FlowOrder& order) {
  std::vector<FlowDetails> details;
  details.reserve(order.plain_count());
  for (const V4Flow& flow : order.v4) details.push_back(flow.details);
  for (const V6Flow& flow : order.v6) details.push_back(flow.details);
  return details;
}

ServiceColumns BuildServiceColumns(std::span<const FlowDetails> flows) {
  const std::vector<uint16_t> ports = ChooseServicePorts(flows);
  std::vector<uint64_t> services;
  std::vector<uint32_t> other_ports;
  services.reserve(flows.size());
  other_ports.reserve(flows.size());
  for (uint32_t i = 0; i < flows.size(); ++i) {
    const FlowDetails& flow = flows[i];
    services.push_back(ServiceOf(flow, ports[i]) << 32 | i);
    // Without ports the value does not count: the one before costs the least.
    const uint32_t before = i > 0 ? other_ports[i - 1] : 0;
    const uint32_t other = ports[i] == flow.port_a ? flow.port_b : flow.port_a;
    other_ports.push_back(flow.has_ports != 0 ? other : before);
  }
  PrefixSort(services);

  ServiceColumns columns;
  std::vector<uint32_t> codes(flows.size());
  uint32_t code = 0;
  for (const ServiceRun& run : RunsByFrequency(services)) {
    const auto service = static_cast<uint32_t>(services[run.begin] >> 32);
    const ServiceEntry entry{.port = static_cast<uint16_t>(service),
                             .protocol = static_cast<uint8_t>(service >> 16),
                             .has_ports = static_cast<uint8_t>(service >> 24)};
    const auto* bytes = reinterpret_cast<const uint8_t*>(&entry);
    columns.services.insert(columns.services.end(), bytes, bytes + sizeof entry);
    for (uint32_t at = run.begin; at < run.end; ++at) codes[static_cast<uint32_t>(services[at])] = code;
    ++code;
  }
  columns.codes = EncodeColumn(codes);
  columns.other_ports = EncodeColumn(other_ports);
  return columns;
}

Bytes BuildVlanColumn(std::span<const FlowDetails> flows) {
  std::vector<uint32_t> vlans;
  vlans.reserve(flows.size());
  bool any = false;
  for (const FlowDetails& flow : flows) {
    vlans.push_back(flow.vlan);
    any |= flow.vlan != 0;
  }
  return any ? EncodeColumn(vlans) : Bytes{};
}

Bytes BuildGeneralKeys(const FlowOrder& order) {
  Bytes out;
  std::array<uint8_t, kMaxFlowKeyBytes> previous{};
  for (size_t i = 0; i < order.general.size(); ++i) {
    const auto key = order.KeyOf(order.general[i]);
    if (i % kGeneralKeyRestart == 0) previous.fill(0);
    out.push_back(static_cast<uint8_t>(key.size()));
    for (size_t at = 0; at < key.size(); at += kKeyWord) {
      const size_t mask_at = out.size();
      out.push_back(0);
      for (size_t k = 0; k < kKeyWord; ++k) {
        if (key[at + k] == previous[at + k]) continue;
        out[mask_at] = static_cast<uint8_t>(out[mask_at] | 1u << k);
        out.push_back(key[at + k]);
      }
    }
    std::fill(std::copy(key.begin(), key.end(), previous.begin()), previous.end(), uint8_t{0});
  }
  return out;
}

Bytes BuildOpenFlows(const FlowOrder& order) {
  Bytes out;
  uint32_t previous = 0;
  for (uint32_t i = 0; i < order.general.size(); ++i) {
    if (!order.general[i].open) continue;
    AppendVarint(out, order.plain_count() + i - previous);
    previous = order.plain_count() + i;
  }
  return out;
}

Result<std::vector<ServiceEntry>> DecodeServices(std::span<const uint8_t> bytes) {
  std::vector<ServiceEntry> services(bytes.size() / sizeof(ServiceEntry));
  if (bytes.size() % sizeof(ServiceEntry) != 0)
    return Fail(Error::Corrupt("service dictionary: broken length"));
  if (!bytes.empty()) std::memcpy(services.data(), bytes.data(), bytes.size());
  return services;
}

Result<std::vector<uint32_t>> DecodeOpenFlows(std::span<const uint8_t> bytes, uint32_t flows) {
  std::vector<uint32_t> open;
  ByteReader reader(bytes);
  uint64_t flow = 0;
  while (reader.left() > 0) {
    flow += reader.Varint<uint32_t>();
    if (!reader.ok() || flow >= flows) return Fail(Error::Corrupt("list of open flows: broken"));
    open.push_back(static_cast<uint32_t>(flow));
  }
  return open;
}

Result<std::span<const uint8_t>> GeneralKeyReader::Next() {
  if (position_++ % kGeneralKeyRestart == 0) key_.fill(0);
  const size_t size = reader_.Le<uint8_t>();
  if (!reader_.ok() || size > key_.size() || size % kKeyWord != 0) {
    return Fail(Error::Corrupt("general flow keys: impossible size"));
  }
  for (size_t at = 0; at < size; at += kKeyWord) {
    const auto mask = reader_.Le<uint8_t>();
    for (size_t k = 0; k < kKeyWord; ++k) {
      if ((mask >> k & 1) != 0) key_[at + k] = reader_.Le<uint8_t>();
    }
  }
  if (!reader_.ok()) return Fail(Error::Corrupt("general flow keys: cut off"));
  std::fill(key_.begin() + static_cast<std::ptrdiff_t>(size), key_.end(), uint8_t{0});
  return std::span<const uint8_t>(key_.data(), size);
}

}  // namespace steno
