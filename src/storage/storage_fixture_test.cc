#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/check.h"
#include "storage/storage_fixture.h"
#include "testing/block_builder.h"

namespace steno {
namespace {

constexpr int kRefused = 77;

void WriteLine(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (::write(fd, text.data(), text.size()) < 0) std::perror(path);
  ::close(fd);
}

// Mounts a tmpfs in new namespaces of this process.
bool MountSmallDisk(const std::string& directory, unsigned megabytes) {
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  // Root needs no user namespace, which a process with a second thread (a sanitizer's) could not enter.
  const bool root = ::geteuid() == 0;
  if (::unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) != 0) return false;
  if (!root) {
    WriteLine("/proc/self/setgroups", "deny");
    WriteLine("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
    WriteLine("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  }
  const std::string size = "size=" + std::to_string(megabytes) + "m";
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("tmpfs", directory.c_str(), "tmpfs", 0, size.c_str()) == 0;
}

int RunChild(const std::function<bool()>& prepare, const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  STENO_CHECK(child >= 0);
  if (child == 0) {
    if (!prepare()) ::_exit(kRefused);
    body();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  STENO_CHECK(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::vector<TestPacket> RandomPackets(std::mt19937_64& random, size_t count, size_t max_frame,
                                      int64_t start_ns) {
  std::vector<TestPacket> packets(count);
  int64_t now = start_ns;
  for (TestPacket& packet : packets) {
    now += static_cast<int64_t>(random() % 1'000'000);
    packet.time_ns = now;
    packet.frame.resize(1 + random() % max_frame);
    std::generate(packet.frame.begin(), packet.frame.end(),
                  [&random] { return static_cast<uint8_t>(random()); });
  }
  return packets;
}

TestFile MakeTestFile(uint64_t seed, size_t blocks, uint64_t file_id, uint64_t file_tag, uint32_t block_bytes,
                      size_t max_frame) {
  std::mt19937_64 random(seed);
  TestFile file;
  int64_t now = static_cast<int64_t>(file_id) * 1000;
  for (size_t sequence = 0; sequence < blocks; ++sequence) {
    testing::BlockBuilder builder(block_bytes);
    const size_t wanted = 1 + random() % 12;
    for (const TestPacket& packet : RandomPackets(random, wanted, max_frame, now)) {
      if (!builder.Add(packet.frame, packet.time_ns)) break;
      file.packets.push_back(packet);
      now = packet.time_ns;
    }
    file.block_packets.push_back(builder.packets());
    file.block_offsets.push_back(file.bytes.size());
    const auto block = builder.Finish(file_id, file_tag, file.bytes.size(), sequence, sequence == 1 ? 7 : 0);
    file.bytes.insert(file.bytes.end(), block.begin(), block.end());
  }
  return file;
}

TestFile MakeForeignFile(uint64_t seed, size_t blocks, size_t packets_per_block) {
  std::mt19937_64 random(seed);
  TestFile file;
  int64_t now = 1'700'000'000'000'000'000;
  for (size_t i = 0; i < blocks; ++i) {
    testing::BlockBuilder builder(1 << 20);
    for (const TestPacket& packet : RandomPackets(random, packets_per_block, 400, now)) {
      STENO_CHECK(builder.Add(packet.frame, packet.time_ns));
      file.packets.push_back(packet);
      now = packet.time_ns;
    }
    file.block_packets.push_back(builder.packets());
    file.block_offsets.push_back(file.bytes.size());
    const auto block = builder.FinishForeign();
    file.bytes.insert(file.bytes.end(), block.begin(), block.end());
  }
  return file;
}

void WriteTestFile(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  STENO_CHECK(out.good());
}

std::vector<uint8_t> ReadTestFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void MakeOld(const std::string& path) {
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::hours(1));
}

bool Exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

bool OnSmallDisk(const std::string& directory, unsigned megabytes, const std::function<void()>& body) {
  const int status = RunChild([&] { return MountSmallDisk(directory, megabytes); }, body);
  if (status == kRefused) return false;
  EXPECT_EQ(status, 0) << "the child's failures are printed above";
  return true;
}

void InChild(const std::function<void()>& body) {
  EXPECT_EQ(RunChild([] { return true; }, body), 0) << "the child's failures are printed above";
}

}  // namespace steno
