#include "index/flow_columns.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "index/packed_column.h"
#include "index/radix_sort.h"

namespace steno {
namespace {

constexpr size_t kKeyWord = 8;

constexpr size_t kPorts = 1 << 16;

// Which flows have which service: counts per (protocol, port), then codes in their places.
class ServiceDictionary {
 public:
  // Swaps the ports of flows, so that the service port is the first one.
  static Result<ServiceDictionary> Make(std::span<PlainKeyTail> tails, Scratch& scratch);

  [[nodiscard]] uint32_t Code(const PlainKeyTail& tail) const { return places_[Protocol(tail)][tail.port_a]; }
  [[nodiscard]] Bytes Encode() const;

 private:
  // Protocols with ports have a place for each, others one place, for port 0.
  static size_t Protocol(const PlainKeyTail& tail) { return size_t{tail.has_ports()} << 8 | tail.protocol; }
  Status Count(std::span<const PlainKeyTail> tails, Scratch& scratch);
  Status Rank(Scratch& scratch);

  std::array<std::span<uint32_t>, 512> places_;  // by Protocol()
  std::span<uint64_t> ranking_;                  // services by frequency: its complement, protocol, port
};

// The service port of a flow is that of its two which more flows have.
void PutServicePortsFirst(std::span<PlainKeyTail> tails, std::span<uint32_t> frequency) {
  std::ranges::fill(frequency, 0u);
  for (const PlainKeyTail& tail : tails) {
    ++frequency[tail.port_a];
    ++frequency[tail.port_b];
  }
  for (PlainKeyTail& tail : tails) {
    const auto [low, high] = std::minmax(tail.port_a, tail.port_b);
    const uint16_t service = frequency[high] > frequency[low] ? high : low;
    tail.port_b = static_cast<uint16_t>(tail.port_a ^ tail.port_b ^ service);
    tail.port_a = service;
  }
}

Result<ServiceDictionary> ServiceDictionary::Make(std::span<PlainKeyTail> tails, Scratch& scratch) {
  ServiceDictionary services;
  STENO_TRY(const auto frequency, scratch.Take<uint32_t>(kPorts));
  PutServicePortsFirst(tails, frequency);
  STENO_CHECK_OK(services.Count(tails, scratch));
  STENO_CHECK_OK(services.Rank(scratch));
  return services;
}

Status ServiceDictionary::Count(std::span<const PlainKeyTail> tails, Scratch& scratch) {
  for (const PlainKeyTail& tail : tails) {
    std::span<uint32_t>& places = places_[Protocol(tail)];
    if (places.empty()) [[unlikely]] {
      STENO_TRY(places, scratch.Take<uint32_t>(tail.has_ports() ? kPorts : 1));
      std::ranges::fill(places, 0u);
    }
    ++places[tail.port_a];
  }
  return {};
}

Status ServiceDictionary::Rank(Scratch& scratch) {
  size_t used = 0;
  for (const auto& places : places_)
    used += places.size() - static_cast<size_t>(std::ranges::count(places, 0u));
  STENO_TRY(ranking_, scratch.Take<uint64_t>(used));
  STENO_TRY(const auto other, scratch.Take<uint64_t>(used));
  size_t next = 0;
  for (uint32_t protocol = 0; protocol < places_.size(); ++protocol) {
    for (uint32_t port = 0; port < places_[protocol].size(); ++port) {
      const uint32_t count = places_[protocol][port];
      if (count != 0) ranking_[next++] = ~uint64_t{count} << 25 | protocol << 16 | port;
    }
  }
  RadixSort(ranking_, other);
  for (uint32_t code = 0; code < ranking_.size(); ++code)
    places_[ranking_[code] >> 16 & 511][ranking_[code] & (kPorts - 1)] = code;
  return {};
}

Bytes ServiceDictionary::Encode() const {
  Bytes out;
  for (const uint64_t service : ranking_) {
    const ServiceEntry entry{.port = static_cast<uint16_t>(service),
                             .protocol = static_cast<uint8_t>(service >> 16),
                             .has_ports = static_cast<uint8_t>(service >> 24 & 1)};
    const auto* bytes = reinterpret_cast<const uint8_t*>(&entry);
    out.insert(out.end(), bytes, bytes + sizeof entry);
  }
  return out;
}

template <class ValueOf>
Status WriteColumn(SectionId id, std::span<const PlainKeyTail> tails, SealedWriter& writer,
                   ValueOf value_of) {
  writer.Begin(id);
  EncodeColumn(
      static_cast<uint32_t>(tails.size()), [&](uint32_t flow) { return value_of(tails[flow]); },
      [&](std::span<const uint8_t> block) { writer.Append(block); });
  return writer.End();
}

Status WritePlainColumns(const FlowOrder& order, Scratch& scratch, SealedWriter& writer) {
  const Scratch::Mark temporary(scratch);
  STENO_TRY(const ServiceDictionary services, ServiceDictionary::Make(order.tails, scratch));
  STENO_CHECK_OK(writer.Add(SectionId::kServices, services.Encode()));
  STENO_CHECK_OK(WriteColumn(SectionId::kServiceCodes, order.tails, writer,
                             [&](const PlainKeyTail& tail) { return services.Code(tail); }));
  uint32_t other = 0;
  STENO_CHECK_OK(WriteColumn(SectionId::kOtherPorts, order.tails, writer, [&](const PlainKeyTail& tail) {
    // Without ports the value does not count: the one before costs the least.
    if (tail.has_ports()) other = tail.port_b;
    return other;
  }));
  if (std::ranges::none_of(order.tails, &PlainKeyTail::has_vlan)) return {};
  return WriteColumn(SectionId::kVlans, order.tails, writer,
                     [](const PlainKeyTail& tail) { return tail.has_vlan() ? tail.vlan + 1u : 0u; });
}

Status WriteGeneralKeys(const FlowOrder& order, SealedWriter& writer) {
  writer.Begin(SectionId::kGeneralKeys);
  std::array<uint8_t, kMaxFlowKeyBytes> previous{};
  Bytes out;
  FlowKey copy;
  for (uint32_t flow = order.plain_count(); flow < order.count(); ++flow) {
    order.CopyGeneralKey(flow, copy);
    const auto key = copy.view();
    if ((flow - order.plain_count()) % kGeneralKeyRestart == 0) previous.fill(0);
    out.assign(1, static_cast<uint8_t>(key.size()));
    for (size_t at = 0; at < key.size(); at += kKeyWord) {
      const size_t mask_at = out.size();
      out.push_back(0);
      for (size_t k = 0; k < kKeyWord; ++k) {
        if (key[at + k] == previous[at + k]) continue;
        out[mask_at] = static_cast<uint8_t>(out[mask_at] | 1u << k);
        out.push_back(key[at + k]);
      }
    }
    writer.Append(out);
    std::fill(std::copy(key.begin(), key.end(), previous.begin()), previous.end(), uint8_t{0});
  }
  return writer.End();
}

// The general flows that may match any term: differences of their numbers as varints.
Status WriteOpenFlows(const FlowOrder& order, SealedWriter& writer, IndexFooter& footer) {
  writer.Begin(SectionId::kOpenFlows);
  FlowKey key;
  PacketHeaders headers;
  uint32_t previous = 0;
  for (uint32_t flow = order.plain_count(); flow < order.count(); ++flow) {
    order.CopyGeneralKey(flow, key);
    if (ParseFlowKey(key.kind, key.view(), headers) && !headers.truncated_layers) continue;
    std::array<uint8_t, 5> varint;
    uint8_t* end = PutVarint(varint.data(), flow - previous);
    writer.Append({varint.data(), end});
    footer.flags |= kIndexOpen;
    previous = flow;
  }
  return writer.End();
}

}  // namespace

Status WriteFlowColumns(const FlowOrder& order, Scratch& scratch, SealedWriter& writer, IndexFooter& footer) {
  footer.flows = order.count();
  footer.v4_flows = order.v4_count();
  footer.v6_flows = order.v6_count();
  STENO_CHECK_OK(WritePlainColumns(order, scratch, writer));
  STENO_CHECK_OK(WriteGeneralKeys(order, writer));
  return WriteOpenFlows(order, writer, footer);
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
