// A small assembler for eBPF, and the three calls of bpf(2) that the traffic source needs: so it builds
// without clang and without libbpf. Instructions are those of <linux/bpf.h>;
// Documentation/bpf/standardization/instruction-set.rst of the kernel describes them.
//
// Not thread-safe. Errors carry the kernel's errno; a program that the verifier refuses carries the end of
// its log.
#pragma once

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace steno::bench {

enum Register : uint8_t { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

// Jumps name labels, which Bind() places later (or has placed before).
class Assembler {
 public:
  using Label = size_t;

  void Alu64(uint8_t op, Register to, Register from) { Add(BPF_ALU64 | BPF_X | op, to, from, 0, 0); }
  void Alu64(uint8_t op, Register to, int32_t value) { Add(BPF_ALU64 | BPF_K | op, to, R0, 0, value); }
  // The upper half of the register becomes 0.
  void Alu32(uint8_t op, Register to, Register from) { Add(BPF_ALU | BPF_X | op, to, from, 0, 0); }
  void Alu32(uint8_t op, Register to, uint32_t value) {
    Add(BPF_ALU | BPF_K | op, to, R0, 0, static_cast<int32_t>(value));
  }
  void Move(Register to, Register from) { Alu64(BPF_MOV, to, from); }
  void Move(Register to, int32_t value) { Alu64(BPF_MOV, to, value); }
  void ToBigEndian(Register reg, int bits) { Add(BPF_ALU | BPF_END | BPF_TO_BE, reg, R0, 0, bits); }

  // Sizes: BPF_B, BPF_H, BPF_W, BPF_DW.
  void Load(uint8_t size, Register to, Register base, int16_t offset) {
    Add(BPF_LDX | BPF_MEM | size, to, base, offset, 0);
  }
  void Store(uint8_t size, Register base, int16_t offset, Register from) {
    Add(BPF_STX | BPF_MEM | size, base, from, offset, 0);
  }
  void StoreWord(Register base, int16_t offset, int32_t value) {
    Add(BPF_ST | BPF_MEM | BPF_W, base, R0, offset, value);
  }
  void LoadMap(Register to, int map) { AddWide(to, BPF_PSEUDO_MAP_FD, map); }
  void LoadMapValue(Register to, int map) { AddWide(to, BPF_PSEUDO_MAP_VALUE, map); }

  void Call(bpf_func_id function) { Add(BPF_JMP | BPF_CALL, R0, R0, 0, function); }
  void Exit() { Add(BPF_JMP | BPF_EXIT, R0, R0, 0, 0); }

  Label NewLabel() {
    labels_.push_back(0);
    return labels_.size() - 1;
  }
  void Bind(Label label) { labels_[label] = code_.size(); }
  void Jump(Label to) { AddJump(BPF_JMP | BPF_JA, R0, R0, 0, to); }
  void JumpIf(uint8_t op, Register left, Register right, Label to) {
    AddJump(BPF_JMP | BPF_X | op, left, right, 0, to);
  }
  void JumpIf(uint8_t op, Register left, int32_t right, Label to) {
    AddJump(BPF_JMP | BPF_K | op, left, R0, right, to);
  }

  // The program, its jumps resolved.
  [[nodiscard]] std::vector<bpf_insn> Finish() const {
    std::vector<bpf_insn> code = code_;
    for (const auto& [at, label] : jumps_) {
      code[at].off =
          static_cast<int16_t>(static_cast<int64_t>(labels_[label]) - static_cast<int64_t>(at) - 1);
    }
    return code;
  }

 private:
  struct PendingJump {
    size_t at;
    Label label;
  };

  void Add(int code, Register to, uint8_t from, int16_t offset, int32_t value) {
    bpf_insn instruction{};
    instruction.code = static_cast<uint8_t>(code);
    instruction.dst_reg = to & 0xf;
    instruction.src_reg = from & 0xf;
    instruction.off = offset;
    instruction.imm = value;
    code_.push_back(instruction);
  }
  void AddWide(Register to, uint8_t kind, int map) {
    Add(BPF_LD | BPF_DW | BPF_IMM, to, kind, 0, map);
    Add(0, R0, 0, 0, 0);
  }
  void AddJump(int code, Register left, Register right, int32_t value, Label to) {
    jumps_.push_back({code_.size(), to});
    Add(code, left, right, 0, value);
  }

  std::vector<bpf_insn> code_;
  std::vector<size_t> labels_;
  std::vector<PendingJump> jumps_;
};

inline long Bpf(bpf_cmd command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

// An array map whose values this process sees, too. Owns the map and its mapping.
class MappedArray {
 public:
  MappedArray() = default;
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  MappedArray(MappedArray&& other) noexcept
      : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedArray() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  // `value_bytes` is a multiple of 8: so values lie one after another.
  static Result<MappedArray> Create(uint32_t value_bytes, uint32_t entries) {
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = sizeof(uint32_t);
    attributes.value_size = value_bytes;
    attributes.max_entries = entries;
    attributes.map_flags = BPF_F_MMAPABLE;
    MappedArray array;
    array.fd_.reset(static_cast<int>(Bpf(BPF_MAP_CREATE, attributes)));
    if (!array.fd_.valid()) return Fail(Error::System("BPF map (needs root)"));
    const size_t size = size_t{value_bytes} * entries;
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, array.fd_.get(), 0);
    if (memory == MAP_FAILED) return Fail(Error::System("map a BPF map"));
    array.bytes_ = {static_cast<uint8_t*>(memory), size};
    return array;
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::span<uint8_t> bytes() const { return bytes_; }

 private:
  UniqueFd fd_;
  std::span<uint8_t> bytes_;
};

inline Result<UniqueFd> LoadXdpProgram(std::span<const bpf_insn> code) {
  std::string log(1 << 16, '\0');
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  attributes.insns = reinterpret_cast<uint64_t>(code.data());
  attributes.license = reinterpret_cast<uint64_t>("GPL");
  attributes.log_level = 1;
  attributes.log_size = static_cast<uint32_t>(log.size());
  attributes.log_buf = reinterpret_cast<uint64_t>(log.data());
  UniqueFd program(static_cast<int>(Bpf(BPF_PROG_LOAD, attributes)));
  if (program.valid()) return program;
  Error error = Error::System("load the XDP program");
  log.resize(std::strlen(log.c_str()));
  const size_t tail = std::min<size_t>(log.size(), 600);
  return Fail(std::move(error).With("the verifier said: ..." + log.substr(log.size() - tail)));
}

}  // namespace steno::bench
