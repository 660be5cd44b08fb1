// What the bytes of "tcp[13]" are counted from, and which packets have such bytes at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "query/expression.h"
#include "query/packet_filter.h"

namespace steno::internal {

struct ByteSource {
  std::string_view name;
  PacketFilter::Reach reach;
  ExpressionPtr implied;  // true of every packet with such bytes; null: nothing is known
};

// Null if there are none of that name, in any case.
const ByteSource* FindByteSource(std::string_view name);
// All names, for messages.
std::string ByteSourceNames();

// Packets with one of these ether types in the outermost frame; 0 stands for a length (802.3).
ExpressionPtr HasEtherType(uint32_t number);
ExpressionPtr HasEtherType(uint32_t number, uint32_t other);
// Packets in which "ip" or "ip6" may find a header, also one that was cut off and is no layer.
ExpressionPtr MayHaveIp(uint8_t layer_bit);

}  // namespace steno::internal
