// Questions to flow keys of the kinds kV4 and kV6 without parsing them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "packet/flow_key.h"
#include "packet/term.h"

namespace steno {

// Which flows a term rules out, by their keys as they lie in an index. Immutable; borrows the term.
class PlainKeyFilter {
 public:
  explicit PlainKeyFilter(const Term& term);

  // True if no packet of the flow can match: MatchesFlow() would say kNo, but takes ten times as long. False
  // also where that is not known (only addresses, ports and protocols are looked at), and for keys that
  // ParseFlowKey() would refuse. REQUIRES: as IsPlainKey().
  [[nodiscard]] bool RulesOut(FlowKind kind, const uint8_t* key) const {
    if (kind != FlowKind::kV4) return RulesOutSlowly(kind, key);
    uint64_t ends = 0;
    uint64_t tail = 0;
    std::memcpy(&ends, key, sizeof ends);
    std::memcpy(&tail, key + sizeof ends, sizeof tail);
    const auto a = static_cast<uint32_t>(ends);
    const auto b = static_cast<uint32_t>(ends >> 32);
    // Most keys: ports, no VLAN id (the upper three bytes), and different addresses in order.
    if (tail >> 40 != PlainKeyTail::kPorts || a >= b) return RulesOutSlowly(kind, key);
    switch (term_.kind) {
      case TermKind::kAddress:
        return !Within(a, v4_first_, v4_last_) && !Within(b, v4_first_, v4_last_);
      case TermKind::kPort:
        return !Within(tail & 0xffff, term_.first, term_.last) &&
               !Within(tail >> 16 & 0xffff, term_.first, term_.last);
      case TermKind::kProtocol:
        return !Within(tail >> 32 & 0xff, term_.first, term_.last);
      default:
        return false;
    }
  }

 private:
  static bool Within(uint64_t number, uint64_t first, uint64_t last) {
    return first <= number && number <= last;
  }
  [[nodiscard]] bool RulesOutSlowly(FlowKind kind, const uint8_t* key) const;

  const Term& term_;
  uint64_t v4_first_ = 1;  // of kAddress: none, if behind the last
  uint64_t v4_last_ = 0;
};

}  // namespace steno
