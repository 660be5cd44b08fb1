#include "traffic_program.h"

#include <linux/if_ether.h>

#include <cstddef>

#include "base/bytes.h"
#include "bpf.h"

namespace steno::bench {
namespace {

constexpr uint32_t kEthernetBytes = 14;
constexpr uint32_t kHeaderBytes = 54;  // Ethernet, IPv4, and TCP without options
constexpr uint32_t kLargestImixFrame = 1514;
constexpr int16_t kSourceMacEnd = 10;  // its last two bytes
constexpr int16_t kEtherType = 12;
constexpr int16_t kIpLength = 16;
constexpr int16_t kIpSource = 26;
constexpr int16_t kIpDestination = 30;
constexpr int16_t kSourcePort = 34;
constexpr int16_t kDestinationPort = 36;
constexpr int16_t kUdpLength = 38;
constexpr uint32_t kGoldenRatio = 2654435761;  // odd: different numbers stay different, and spread

// Registers with one meaning throughout; calls preserve R6 to R9.
constexpr Register kContext = R6;
constexpr Register kState = R7;
constexpr Register kRandom = R8;  // of imix, flood and fixed
constexpr Register kFrame = R8;   // of pcap: the value in the frames map
constexpr Register kLength = R9;

class ProgramMaker {
 public:
  ProgramMaker(const ProgramOptions& options, int state_map, int frames_map)
      : options_(options), state_map_(state_map), frames_map_(frames_map) {}

  std::vector<bpf_insn> Make() {
    asm_.Move(kContext, R1);
    asm_.LoadMapValue(kState, state_map_);
    Begin();
    if (options_.paced) WaitForTime();
    if (options_.kind == Kind::kPcap) {
      CopyNextFrame();
    } else {
      NextRandom();
      ChooseLength();
      FitFrame();
      WriteHeaders();
    }
    Return();
    return asm_.Finish();
  }

 private:
  // Notes the time of the first run, and drops everything once the limit is reached.
  void Begin() {
    const auto running = asm_.NewLabel();
    asm_.Load(BPF_DW, R1, kState, offsetof(State, started));
    asm_.JumpIf(BPF_JNE, R1, 0, running);
    asm_.Call(BPF_FUNC_ktime_get_ns);
    asm_.Store(BPF_DW, kState, offsetof(State, started), R0);
    asm_.Bind(running);
    asm_.Load(BPF_DW, R1, kState, offsetof(State, made));
    asm_.Load(BPF_DW, R2, kState, offsetof(State, limit));
    asm_.JumpIf(BPF_JGE, R1, R2, idle_);
  }

  void WaitForTime() {
    asm_.Call(BPF_FUNC_ktime_get_ns);
    asm_.Load(BPF_DW, R1, kState, offsetof(State, started));
    asm_.Alu64(BPF_SUB, R0, R1);
    asm_.Alu64(BPF_LSH, R0, kTimeBits);
    asm_.Load(BPF_DW, R2, kState, offsetof(State, due));
    asm_.JumpIf(BPF_JLT, R0, R2, idle_);
    asm_.Load(BPF_DW, R3, kState, offsetof(State, interval));
    asm_.Alu64(BPF_ADD, R2, R3);
    asm_.Store(BPF_DW, kState, offsetof(State, due), R2);
  }

  // xorshift64 (Marsaglia, 2003): short, and random enough for addresses.
  void NextRandom() {
    asm_.Load(BPF_DW, kRandom, kState, offsetof(State, random));
    for (const auto& [op, bits] : {std::pair{BPF_LSH, 13}, std::pair{BPF_RSH, 7}, std::pair{BPF_LSH, 17}}) {
      asm_.Move(R1, kRandom);
      asm_.Alu64(static_cast<uint8_t>(op), R1, bits);
      asm_.Alu64(BPF_XOR, kRandom, R1);
    }
    asm_.Store(BPF_DW, kState, offsetof(State, random), kRandom);
  }

  void ChooseLength() {
    asm_.Move(kLength, static_cast<int32_t>(TemplateFrame(options_).size()));
    if (options_.kind != Kind::kImix) return;
    const auto chosen = asm_.NewLabel();
    asm_.Move(R1, kRandom);
    asm_.Alu64(BPF_AND, R1, 15);
    asm_.JumpIf(BPF_JGE, R1, 13, chosen);  // 3 of 16: the template's
    asm_.Move(kLength, 594);
    asm_.JumpIf(BPF_JGE, R1, 9, chosen);  // 4 of 16
    asm_.Move(kLength, 60);
    asm_.Bind(chosen);
  }

  // Makes the template's frame one of kLength bytes.
  void FitFrame() {
    const auto fits = asm_.NewLabel();
    asm_.Move(R1, kContext);
    asm_.Move(R2, kLength);
    asm_.Alu64(BPF_SUB, R2, static_cast<int32_t>(TemplateFrame(options_).size()));
    asm_.JumpIf(BPF_JEQ, R2, 0, fits);
    asm_.Call(BPF_FUNC_xdp_adjust_tail);
    asm_.JumpIf(BPF_JNE, R0, 0, failed_);
    asm_.Bind(fits);
  }

  // R1 = the frame, of which the verifier then knows that it has so many bytes.
  void LoadFrame(uint32_t bytes) {
    asm_.Load(BPF_W, R1, kContext, offsetof(xdp_md, data));
    asm_.Load(BPF_W, R2, kContext, offsetof(xdp_md, data_end));
    asm_.Move(R3, R1);
    asm_.Alu64(BPF_ADD, R3, static_cast<int32_t>(bytes));
    asm_.JumpIf(BPF_JGT, R3, R2, failed_);
  }

  void StoreLength(int16_t offset, uint32_t less) {
    asm_.Move(R4, kLength);
    asm_.Alu64(BPF_SUB, R4, static_cast<int32_t>(less));
    asm_.ToBigEndian(R4, 16);
    asm_.Store(BPF_H, R1, offset, R4);
  }

  void WriteHeaders() {
    LoadFrame(kHeaderBytes);
    StoreLength(kIpLength, kEthernetBytes);
    if (!options_.tcp) StoreLength(kUdpLength, kEthernetBytes + 20);
    asm_.Move(R5, kRandom);
    asm_.Alu64(BPF_RSH, R5, 20);  // the lowest bits have chosen the length
    if (options_.kind == Kind::kFlood) {
      asm_.Store(BPF_W, R1, kIpSource, R5);
      asm_.Alu64(BPF_RSH, R5, 24);  // 8 bits of the address, and the rest
      asm_.Store(BPF_H, R1, kSourcePort, R5);
      return;
    }
    asm_.Alu32(BPF_MOD, R5, options_.flows);
    asm_.Alu32(BPF_MUL, R5, kGoldenRatio);
    asm_.Store(BPF_H, R1, kSourcePort, R5);
    asm_.Alu32(BPF_RSH, R5, 8U);
    asm_.Alu32(BPF_OR, R5, 0x0a000000U);  // 10.0.0.0/8
    asm_.ToBigEndian(R5, 32);
    asm_.Store(BPF_W, R1, kIpSource, R5);
  }

  void CopyNextFrame() {
    TakeFrame();
    FitFrame();
    asm_.Move(R1, kContext);
    asm_.Move(R2, 0);
    asm_.Move(R3, kFrame);
    asm_.Alu64(BPF_ADD, R3, offsetof(StoredFrame, frame));
    asm_.Move(R4, kLength);
    asm_.Call(BPF_FUNC_xdp_store_bytes);
    asm_.JumpIf(BPF_JNE, R0, 0, failed_);
    VaryFrame();
  }

  // kFrame and kLength from the frames map; the index moves on.
  void TakeFrame() {
    const auto same_round = asm_.NewLabel();
    asm_.Load(BPF_DW, R1, kState, offsetof(State, index));
    asm_.JumpIf(BPF_JLT, R1, static_cast<int32_t>(options_.frames), same_round);
    asm_.Move(R1, 0);
    asm_.Load(BPF_DW, R2, kState, offsetof(State, round));
    asm_.Alu64(BPF_ADD, R2, 1);
    asm_.Store(BPF_DW, kState, offsetof(State, round), R2);
    asm_.Bind(same_round);
    asm_.Store(BPF_W, R10, -4, R1);
    asm_.Alu64(BPF_ADD, R1, 1);
    asm_.Store(BPF_DW, kState, offsetof(State, index), R1);
    asm_.LoadMap(R1, frames_map_);
    asm_.Move(R2, R10);
    asm_.Alu64(BPF_ADD, R2, -4);
    asm_.Call(BPF_FUNC_map_lookup_elem);
    asm_.JumpIf(BPF_JEQ, R0, 0, failed_);
    asm_.Move(kFrame, R0);
    asm_.Load(BPF_W, kLength, kFrame, offsetof(StoredFrame, bytes));
    asm_.JumpIf(BPF_JLT, kLength, kEthernetBytes, failed_);
    asm_.JumpIf(BPF_JGT, kLength, StoredFrame::kMaxBytes, failed_);
  }

  // Makes this packet one of its own. IP behind Ethernet or a tag: the last bytes of the source's MAC address
  // count on, for otherwise the receiver's GRO would make one of several TCP packets. IPv4: both addresses ^=
  // a number of the round outside their first byte, so that each round has other hosts, and the same flows.
  void VaryFrame() {
    const auto ip = asm_.NewLabel();
    const auto done = asm_.NewLabel();
    asm_.JumpIf(BPF_JLT, kLength, kIpDestination + 4, done);
    LoadFrame(kIpDestination + 4);
    asm_.Load(BPF_H, R2, R1, kEtherType);
    for (const int type : {ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD}) {
      asm_.JumpIf(BPF_JEQ, R2, SwapBytes(static_cast<uint16_t>(type)), ip);
    }
    asm_.Jump(done);
    asm_.Bind(ip);
    asm_.Load(BPF_DW, R3, kState, offsetof(State, made));
    asm_.Store(BPF_H, R1, kSourceMacEnd, R3);
    asm_.JumpIf(BPF_JNE, R2, SwapBytes<uint16_t>(ETH_P_IP), done);
    asm_.Load(BPF_DW, R5, kState, offsetof(State, round));
    asm_.Alu32(BPF_MUL, R5, kGoldenRatio);
    asm_.Alu32(BPF_AND, R5, 0xffffff00U);  // the first byte in memory stays
    for (const int16_t address : {kIpSource, kIpDestination}) {
      asm_.Load(BPF_W, R2, R1, address);
      asm_.Alu32(BPF_XOR, R2, R5);
      asm_.Store(BPF_W, R1, address, R2);
    }
    asm_.Bind(done);
  }

  void Count(int16_t field, Register amount) {
    asm_.Load(BPF_DW, R1, kState, field);
    asm_.Alu64(BPF_ADD, R1, amount);
    asm_.Store(BPF_DW, kState, field, R1);
  }

  void Return() {
    asm_.Move(R2, 1);
    Count(offsetof(State, made), R2);
    Count(offsetof(State, bytes), kLength);
    asm_.Move(R0, XDP_TX);
    asm_.Exit();
    asm_.Bind(failed_);
    asm_.Move(R2, 1);
    Count(offsetof(State, failed), R2);
    asm_.Bind(idle_);
    asm_.Move(R0, XDP_DROP);
    asm_.Exit();
  }

  ProgramOptions options_;
  int state_map_;
  int frames_map_;
  Assembler asm_;
  Assembler::Label failed_ = asm_.NewLabel();
  Assembler::Label idle_ = asm_.NewLabel();
};

}  // namespace

std::vector<uint8_t> TemplateFrame(const ProgramOptions& options) {
  uint32_t size = options.frame_bytes;
  if (options.kind == Kind::kImix) size = kLargestImixFrame;
  if (options.kind == Kind::kPcap) size = StoredFrame::kMaxBytes;
  const uint8_t protocol = options.tcp ? 6 : 17;
  const std::array<uint8_t, kHeaderBytes> headers = {
      2,    0,    0,  0,  0, 2, 2,    0, 0,  0,        0, 1, 8,    0,  // Ethernet: IPv4
      0x45, 0,    0,  0,  0, 0, 0x40, 0, 64, protocol, 0, 0, 10,   0,
      0,    1,    10, 98, 0, 2,  // lengths come later
      0x30, 0x39, 0,  80, 0, 0, 0,    0, 0,  0,        0, 0, 0x50, 2,
      0xff, 0xff, 0,  0,  0, 0};  // TCP: SYN; UDP: bytes 4, 5
  std::vector<uint8_t> frame(size, 'x');
  std::copy(headers.begin(), headers.end(), frame.begin());
  StoreBe<uint16_t>(frame.data() + kIpLength, static_cast<uint16_t>(size - kEthernetBytes));
  return frame;
}

std::vector<bpf_insn> MakeProgram(const ProgramOptions& options, int state_map, int frames_map) {
  return ProgramMaker(options, state_map, frames_map).Make();
}

}  // namespace steno::bench
