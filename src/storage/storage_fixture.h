// What the tests of this module share: packet files of random content, and small real disks. Tests only.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "storage/block_format.h"

namespace steno {

struct TestPacket {
  int64_t time_ns = 0;
  std::vector<uint8_t> frame;
};

// The bytes of a packet file and what a reader must find in it.
struct TestFile {
  std::vector<uint8_t> bytes;
  std::vector<uint64_t> block_offsets;
  std::vector<uint32_t> block_packets;
  std::vector<TestPacket> packets;
};

// Random frames of 1 to `max_frame` bytes, in blocks of random fill.
TestFile MakeTestFile(uint64_t seed, size_t blocks, uint64_t file_id = 1'700'000'000'000'000,
                      uint64_t file_tag = 99, uint32_t block_bytes = 16384, size_t max_frame = 1500);

// The same in the incumbent's form: blocks of 1 MiB, packets from byte 48 on.
TestFile MakeForeignFile(uint64_t seed, size_t blocks, size_t packets_per_block);

std::vector<TestPacket> RandomPackets(std::mt19937_64& random, size_t count, size_t max_frame,
                                      int64_t start_ns);

void WriteTestFile(const std::string& path, const std::vector<uint8_t>& bytes);
std::vector<uint8_t> ReadTestFile(const std::string& path);
bool Exists(const std::string& path);
// As if the file had last been written an hour ago.
void MakeOld(const std::string& path);

// Runs `body` in a child process that sees a tmpfs of `megabytes` mounted at `directory` (in a namespace of
// its own: no privileges needed). False if this machine does not allow that: skip the test. Failures of the
// body fail the test.
bool OnSmallDisk(const std::string& directory, unsigned megabytes, const std::function<void()>& body);

// Runs `body` in a child process and fails the test if it failed there.
void InChild(const std::function<void()>& body);

}  // namespace steno
