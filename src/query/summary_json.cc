#include "query/summary_json.h"

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "packet/flow_key.h"
#include "query/time_parse.h"

namespace steno {
namespace {

using Json = nlohmann::ordered_json;
using By = Grouping::By;

void AddCounts(const TrafficCounts& counts, Json& to) {
  const bool some = counts.packets != 0;
  to["first"] = some ? Json(internal::FormatTime(counts.first_ns)) : Json(nullptr);
  to["last"] = some ? Json(internal::FormatTime(counts.last_ns)) : Json(nullptr);
  to["packets"] = counts.packets;
  to["bytes"] = counts.bytes;
}

Json Counts(const TrafficCounts& counts) {
  Json json = Json::object();
  AddCounts(counts, json);
  return json;
}

// The ends in the order of their addresses: which of them began is not known.
Json LayerOf(const Layer& layer) {
  Json json = Json::object();
  if (layer.kind == LayerKind::kArp) {
    json["arp"] = true;
  } else {
    json["protocol"] = layer.protocol;
  }
  json["address_a"] = ToString(layer.src);
  json["address_b"] = ToString(layer.dst);
  if (layer.has_ports) {
    json["port_a"] = layer.src_port;
    json["port_b"] = layer.dst_port;
  }
  return json;
}

Json Flow(std::string_view key) {
  PacketHeaders headers;
  const auto* bytes = reinterpret_cast<const uint8_t*>(key.data());
  const auto kind = static_cast<FlowKind>(key.front());
  Json json = Json::object();
  if (!ParseFlowKey(kind, std::span(bytes, key.size()).subspan(1), headers)) return json;
  json["ether_type"] = headers.ether_type;
  for (size_t i = 0; i < headers.vlan_count; ++i) json["vlans"].push_back(headers.vlans[i]);
  for (size_t i = 0; i < headers.mpls_count; ++i) json["mpls"].push_back(headers.mpls_labels[i]);
  json["layers"] = Json::array();
  for (size_t i = 0; i < headers.layer_count; ++i) json["layers"].push_back(LayerOf(headers.layers[i]));
  return json;
}

const char* NameOf(By by) {
  switch (by) {
    case By::kFlow:
      return "flow";
    case By::kAddress:
      return "address";
    case By::kPort:
      return "port";
    case By::kProtocol:
      return "protocol";
    case By::kTime:
      return "time";
  }
  return "";
}

}  // namespace

std::string ToJson(const TrafficSummary& summary) {
  const By by = summary.grouping().by;
  Json groups = Json::array();
  for (const TrafficSummary::Group& group : summary.Groups()) {
    Json entry = by == By::kFlow ? Flow(group.key) : Json{{NameOf(by), group.key}};
    AddCounts(group.counts, entry);
    groups.push_back(std::move(entry));
  }
  const Json json = {{"totals", Counts(summary.totals())},
                     {by == By::kFlow ? "flows" : "groups", std::move(groups)},
                     {"other", Counts(summary.other())}};
  return json.dump(1) + "\n";
}

}  // namespace steno
