// CaptureBytes: the bytes of capture files in a chosen byte order, piece by piece: pcap and pcapng, sound or
// not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace steno::testing {

class CaptureBytes {
 public:
  explicit CaptureBytes(bool big = false) : big_(big) {}

  CaptureBytes& U16(uint16_t value) { return Number(value); }
  CaptureBytes& U32(uint32_t value) { return Number(value); }
  CaptureBytes& U64(uint64_t value) { return Number(value); }
  CaptureBytes& Raw(const std::vector<uint8_t>& bytes) {
    return Raw(std::string(bytes.begin(), bytes.end()));
  }
  CaptureBytes& Raw(const std::string& bytes) {
    text_ += bytes;
    return *this;
  }
  // The header of a classic pcap file.
  CaptureBytes& FileHeader(uint32_t magic, uint32_t link_type = 1) {
    return U32(magic).U16(2).U16(4).U32(0).U32(0).U32(262144).U32(link_type);
  }
  // A record of one; `fraction` in its unit.
  CaptureBytes& Record(uint32_t seconds, uint32_t fraction, const std::vector<uint8_t>& frame,
                       uint32_t original = 0) {
    const auto size = static_cast<uint32_t>(frame.size());
    return U32(seconds).U32(fraction).U32(size).U32(original == 0 ? size : original).Raw(frame);
  }
  // A pcapng block of this body.
  CaptureBytes& Block(uint32_t type, const CaptureBytes& body) {
    const std::string padded = body.text_ + std::string((4 - body.text_.size() % 4) % 4, '\0');
    const auto length = static_cast<uint32_t>(padded.size() + 12);
    return U32(type).U32(length).Raw(padded).U32(length);
  }
  CaptureBytes& Section() {
    return Block(0x0a0d0d0a, CaptureBytes(big_).U32(0x1a2b3c4d).U16(1).U16(0).U64(~uint64_t{0}));
  }
  CaptureBytes& Interface(uint16_t link_type, const std::string& options = "", uint32_t snaplen = 0) {
    return Block(1, CaptureBytes(big_).U16(link_type).U16(0).U32(snaplen).Raw(options));
  }
  CaptureBytes& Enhanced(uint32_t interface, uint64_t units, const std::string& data, uint32_t original = 0) {
    const auto size = static_cast<uint32_t>(data.size());
    CaptureBytes body(big_);
    body.U32(interface).U32(static_cast<uint32_t>(units >> 32)).U32(static_cast<uint32_t>(units));
    return Block(6, body.U32(size).U32(original == 0 ? size : original).Raw(data));
  }
  std::string Option(uint16_t code, const std::string& value) {
    CaptureBytes option(big_);
    option.U16(code).U16(static_cast<uint16_t>(value.size())).Raw(value);
    return option.text_ + std::string((4 - value.size() % 4) % 4, '\0');
  }
  std::string Seconds(int64_t value) { return CaptureBytes(big_).U64(static_cast<uint64_t>(value)).text_; }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  template <class T>
  CaptureBytes& Number(T value) {
    if (big_) value = SwapBytes(value);
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }

  bool big_;
  std::string text_;
};

}  // namespace steno::testing
