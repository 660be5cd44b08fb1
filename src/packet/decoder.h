// Decoder: the walk over one frame behind Decode(). Internal to this module.
//
// Each step reads one header at the front of `rest_`, moves `rest_` behind it and says what comes next. No
// recursion; the number of headers is limited, so hostile frames cost no more than deep ones.
#pragma once

#include <cstdint>
#include <span>

#include "packet/decode.h"
#include "packet/headers.h"

namespace steno::internal {

class Decoder {
 public:
  // `starts` may be null.
  Decoder(std::span<const uint8_t> frame, PacketHeaders& out, LayerStarts* starts)
      : frame_(frame.data()), rest_(frame), out_(out), starts_(starts) {}

  void Run();
  void AddVlan(uint16_t tci);

 private:
  // What starts at the front of `rest_`: nothing we read, an Ethernet header, or the payload of `ether_type`.
  struct Step {
    enum class What : uint8_t { kEnd, kEthernet, kPayload } what = What::kEnd;
    uint16_t ether_type = 0;
  };
  static Step End() { return {}; }
  static Step Ethernet() { return {Step::What::kEthernet, 0}; }
  static Step Payload(uint16_t ether_type) { return {Step::What::kPayload, ether_type}; }

  // decode.cc: link layers.
  Step ReadEthernet();
  Step ReadPayload(uint16_t ether_type);
  Step ReadVlan();
  Step ReadMpls();
  Step GuessMplsPayload();
  Step ReadPppoe();
  void ReadArp();

  // decode_ip.cc: IP and what it carries.
  Step ReadIpv4();
  Step ReadIpv6();
  // Follows the extension headers from the first one's number; the upper protocol goes to layer.protocol.
  // False if no upper header can be read behind them (later fragment, chain not captured).
  bool ReadExtensions(Layer& layer);
  void ReadPorts(Layer& layer);
  Step ReadTunnel(const Layer& layer);

  // decode_tunnel.cc: tunnel headers; `rest_` starts at the tunnel's own header (UDP tunnels: at the UDP
  // header).
  Step ReadGre();
  Step ReadVxlan();
  Step ReadGeneve();
  Step ReadGtp();

  [[nodiscard]] bool Has(size_t bytes) const { return rest_.size() >= bytes; }
  // Moves on by `bytes`; false (and to the end) if there are fewer.
  bool Skip(size_t bytes);
  // Takes one header off the limit; false, and the packet marked as truncated, if there is none left.
  bool Spend();
  // The layer that starts at the front of `rest_`. Null, and the packet marked as truncated, if there are
  // kMaxLayers already.
  Layer* AddLayer(LayerKind kind);

  const uint8_t* frame_;
  std::span<const uint8_t> rest_;
  PacketHeaders& out_;
  LayerStarts* starts_;
  unsigned budget_ = 64;     // headers that may still be read
  bool outer_frame_ = true;  // still in the first Ethernet header
  bool outer_tags_ = true;   // still in its tags: the next ether type is the packet's
};

}  // namespace steno::internal
