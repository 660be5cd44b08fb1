#include "testing/random_frames.h"

#include <algorithm>

#include "testing/packet_builder.h"

namespace steno::testing {

namespace {

template <class T>
T Pick(std::mt19937_64& random, const std::vector<T>& pool) {
  return pool[random() % pool.size()];
}

bool OneIn(std::mt19937_64& random, unsigned n) { return random() % n == 0; }

// Composes one frame from random choices.
class Composer {
 public:
  explicit Composer(std::mt19937_64& random) : random_(random) {}

  std::vector<uint8_t> Make() {
    AddEthernet();
    return builder_.Build();
  }

 private:
  void AddEthernet() {
    const std::vector<const char*> macs = {"02:00:00:00:00:01", "02:00:00:00:00:02", "06:ff:00:11:22:33"};
    builder_.Ethernet(Pick(random_, macs), Pick(random_, macs));
    if (OneIn(random_, 5)) AddVlans();
    switch (random_() % 24) {
      case 0:
        builder_.Arp(Pick(random_, PoolV4()), Pick(random_, PoolV4()));
        break;
      case 1:
        builder_.Pppoe();
        AddIp();
        break;
      case 2:
        AddMpls();
        break;
      case 3:
        builder_.Payload(random_() % 100, static_cast<uint8_t>(random_()));
        break;
      case 4:
        builder_.Snap();
        AddIp();
        break;
      default:
        AddIp();
    }
  }

  void AddVlans() {
    const size_t count = OneIn(random_, 8) ? 1 + random_() % 6 : 1 + random_() % 2;
    const std::vector<uint16_t> tpids = {0x8100, 0x88a8, 0x9100, 0x9200};
    for (size_t i = 0; i < count; ++i) {
      builder_.Vlan(static_cast<uint16_t>(random_() % 4 | (random_() & 0xe000)), Pick(random_, tpids));
    }
  }

  void AddMpls() {
    std::vector<uint32_t> labels(OneIn(random_, 6) ? 1 + random_() % 12 : 1 + random_() % 3);
    for (uint32_t& label : labels) label = 16 + static_cast<uint32_t>(random_() % 4);
    builder_.Mpls(labels);
    if (OneIn(random_, 3)) {
      builder_.Raw({0, 0, 0, 0});
      AddNested(&Composer::AddEthernet);
    } else {
      AddIp();
    }
  }

  void AddIp() {
    if (OneIn(random_, 3)) {
      builder_.Ipv6(Pick(random_, PoolV6()), Pick(random_, PoolV6()));
      if (OneIn(random_, 4)) AddExtensions();
    } else {
      builder_.Ipv4(Pick(random_, PoolV4()), Pick(random_, PoolV4()));
    }
    if (OneIn(random_, 10)) builder_.Fragment(static_cast<uint16_t>(random_() % 3 * 8), OneIn(random_, 2));
    AddTransport();
  }

  void AddExtensions() {
    const std::vector<uint8_t> types = {0, 43, 60, 51, 135, 139, 140};
    for (size_t i = 1 + random_() % 3; i > 0; --i) {
      builder_.Ipv6Extension(Pick(random_, types), static_cast<unsigned>(8 + random_() % 3 * 8));
    }
  }

  void AddTransport() {
    const uint16_t src = Pick(random_, PoolPorts());
    const uint16_t dst = Pick(random_, PoolPorts());
    switch (random_() % 16) {
      case 0:
        builder_.Icmp(8, 0);
        break;
      case 1:
        builder_.Icmp6(128, 0);
        break;
      case 2:
        builder_.Sctp(src, dst);
        break;
      case 3:
        builder_.Protocol(static_cast<uint8_t>(random_()));
        break;
      case 4:
        AddNested(&Composer::AddIp);
        return;
      case 5:
      case 6:
        AddTunnel();
        return;
      case 7:
      case 8:
      case 9:
        builder_.Udp(src, dst);
        break;
      default:
        builder_.Tcp(src, dst);
    }
    builder_.Payload(random_() % 64, static_cast<uint8_t>(random_()));
  }

  void AddTunnel() {
    const bool ethernet = OneIn(random_, 2);
    switch (random_() % 4) {
      case 0:
        builder_.Gre(OneIn(random_, 2), OneIn(random_, 2), OneIn(random_, 2));
        break;
      case 1:
        builder_.Geneve(5, static_cast<unsigned>(random_() % 4 * 4));
        break;
      case 2:
        builder_.Gtp(77);
        AddNested(&Composer::AddIp);
        return;
      default:
        builder_.Vxlan(9);
        AddNested(&Composer::AddEthernet);
        return;
    }
    AddNested(ethernet ? &Composer::AddEthernet : &Composer::AddIp);
  }

  void AddNested(void (Composer::*add)()) {
    if (++depth_ < 7) (this->*add)();
  }

  std::mt19937_64& random_;
  PacketBuilder builder_;
  int depth_ = 0;
};

}  // namespace

const std::vector<const char*>& PoolV4() {
  static const std::vector<const char*> pool = {"10.0.0.1", "10.0.0.2", "192.168.255.254", "0.0.0.0",
                                                "255.255.255.255"};
  return pool;
}

const std::vector<const char*>& PoolV6() {
  static const std::vector<const char*> pool = {"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1",
                                                "::"};
  return pool;
}

const std::vector<uint16_t>& PoolPorts() {
  static const std::vector<uint16_t> pool = {0, 53, 80, 443, 50000, 65535};
  return pool;
}

RandomFrame MakeRandomFrame(std::mt19937_64& random) {
  RandomFrame frame;
  frame.bytes = Composer(random).Make();
  if (OneIn(random, 4)) {
    frame.tag = {true, static_cast<uint16_t>(random() % 4 | (random() & 0xf000)),
                 OneIn(random, 2) ? uint16_t{0x8100} : uint16_t{0x88a8}};
  }
  return frame;
}

RandomFrame MakeBrokenFrame(std::mt19937_64& random) {
  RandomFrame frame = MakeRandomFrame(random);
  if (frame.bytes.empty()) return frame;
  for (size_t changes = random() % 4; changes > 0; --changes) {
    // Headers are in front: damage there matters most.
    const size_t at = random() % std::min<size_t>(frame.bytes.size(), OneIn(random, 2) ? 64 : 4096);
    frame.bytes[at] = OneIn(random, 2) ? static_cast<uint8_t>(random())
                                       : static_cast<uint8_t>(frame.bytes[at] ^ 1u << random() % 8);
  }
  if (OneIn(random, 3)) frame.bytes.resize(random() % (frame.bytes.size() + 1));
  return frame;
}

std::vector<std::vector<uint8_t>> EveryFrame() {
  using B = PacketBuilder;
  const auto v4 = [](B builder) { return builder.Ipv4("10.0.0.1", "10.0.0.2"); };
  const auto v6 = [](B builder) { return builder.Ipv6("2001:db8::1", "2001:db8::2"); };
  const B eth = B().Ethernet();
  std::vector<B> all = {
      v4(eth).Tcp(1234, 80).Payload(10),
      v4(eth).Udp(1234, 53).Payload(10),
      v4(eth).Sctp(1, 2).Payload(10),
      v4(eth).Icmp(8, 0).Payload(10),
      v4(eth).Fragment(8, true).Tcp(1, 2),
      v4(eth).Fragment(0, true).Tcp(1, 2),
      v6(eth).Tcp(1234, 443).Payload(3),
      v6(eth).Icmp6(128, 0).Payload(3),
      v6(eth).Ipv6Extension(0, 8).Ipv6Extension(43, 24).Ipv6Extension(60, 16).Ipv6Extension(51, 24).Udp(5, 6),
      v6(eth).Fragment(0, true).Udp(5, 6),
      v6(eth).Fragment(16, false).Udp(5, 6),
      B().Ethernet().Arp("10.0.0.1", "10.0.0.2"),
      B().Ethernet().Payload(40),
      v4(B().Ethernet().Vlan(5)).Tcp(1, 2),
      v4(B().Ethernet().Vlan(5, 0x88a8).Vlan(6)).Tcp(1, 2),
      v4(B().Ethernet().Vlan(1).Vlan(2).Vlan(3).Vlan(4).Vlan(5)).Tcp(1, 2),
      v4(B().Ethernet().Mpls({100, 200})).Tcp(1, 2),
      v6(B().Ethernet().Mpls({100})).Tcp(1, 2),
      v4(B().Ethernet().Mpls({100}).Raw({0, 0, 0, 0}).Ethernet().Vlan(9)).Tcp(1, 2),
      v4(B().Ethernet().Pppoe()).Udp(1, 2),
      v6(B().Ethernet().Pppoe()).Udp(1, 2),
      v4(B().Ethernet().Snap()).Tcp(1, 2),
      v4(v4(eth)).Tcp(1, 2),
      v6(v4(eth)).Tcp(1, 2),
      v4(v6(eth)).Tcp(1, 2),
      v6(v6(eth)).Tcp(1, 2),
      v4(v4(v4(v4(v4(eth))))).Tcp(1, 2),
      v4(v4(eth).Gre()).Tcp(1, 2),
      v6(v4(eth).Gre(true, true, true)).Tcp(1, 2),
      v4(v4(eth).Gre(true).Ethernet().Vlan(7)).Tcp(1, 2),
      v4(v4(eth).Gre().Mpls({300})).Tcp(1, 2),
      v4(v4(eth).Vxlan(1).Ethernet().Vlan(8)).Tcp(1, 2),
      v4(eth).Vxlan(1).Ethernet().Arp("10.0.0.3", "10.0.0.4"),
      v6(v4(eth).Geneve(1, 12).Ethernet()).Udp(1, 2),
      v4(v6(eth).Geneve(1)).Udp(1, 2),
      v4(v4(eth).Gtp(1)).Tcp(1, 2),
      v6(v6(eth).Gtp(1)).Tcp(1, 2),
  };
  std::vector<std::vector<uint8_t>> frames;
  for (const B& builder : all) frames.push_back(builder.Build());
  return frames;
}

}  // namespace steno::testing
