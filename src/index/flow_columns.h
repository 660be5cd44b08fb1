// The columns of a sealed index: what its plain flows have beside addresses, and the keys of all other flows.
//
// Plain flows: a service is (protocol, the port of the two that more flows of the index have); the dictionary
// has the most frequent service first, so that codes are small numbers. Which end has which port is not kept:
// no term needs it. General keys: per key its size (1 byte) and per 8 bytes a mask (bit i: byte i differs
// from the previous key's byte at that place, or from 0 behind its end) and the bytes that differ; every
// kGeneralKeyRestart-th key has no previous one. Pure functions; any bytes are safe to decode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "index/flow_order.h"
#include "index/sealed_format.h"
#include "index/sealed_writer.h"
#include "packet/flow_key.h"

namespace steno {

// Writes the sections kServices to kOpenFlows, and counts and flags of `footer`. kExhausted if `scratch` is
// too small.
Status WriteFlowColumns(const FlowOrder& order, Scratch& scratch, SealedWriter& writer, IndexFooter& footer);

Result<std::vector<ServiceEntry>> DecodeServices(std::span<const uint8_t> bytes);
// `flows`: of the index. Ascending numbers below that.
Result<std::vector<uint32_t>> DecodeOpenFlows(std::span<const uint8_t> bytes, uint32_t flows);

// Reads general keys one after another.
class GeneralKeyReader {
 public:
  explicit GeneralKeyReader(std::span<const uint8_t> bytes) : reader_(bytes) {}

  // The next key, valid until the next call. May be empty: that of a flow whose key was broken.
  Result<std::span<const uint8_t>> Next();

 private:
  ByteReader reader_;
  uint32_t position_ = 0;
  std::array<uint8_t, kMaxFlowKeyBytes> key_{};  // zeros behind the current key
};

}  // namespace steno
