// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the SSE4.2 / ARMv8 instruction where the CPU has it.
#pragma once

#include <cstdint>
#include <span>

namespace steno {

// The checksum of `bytes`, continuing from `crc` (0 starts a new one).
[[nodiscard]] uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t crc = 0);

}  // namespace steno
