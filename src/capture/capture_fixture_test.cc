#include "capture/capture_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "storage/packet_file.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

constexpr size_t kNumberAt = 14 + 20 + 8;
constexpr uint32_t kMarker = 0x57E907E5;
constexpr int kSkipped = 77;

void ReadBlock(const PacketFile& file, const BlockEntry& entry, RecordedFile& into) {
  std::vector<uint8_t> bytes(entry.used_bytes);
  ASSERT_TRUE(file.Read(bytes, entry.file_offset));
  BlockHeader header{};
  std::memcpy(&header, bytes.data() + kKernelHeaderBytes, sizeof header);
  into.drops += header.drops;
  into.thread = header.thread;
  into.snaplen = header.snaplen;
  PacketWalk walk(bytes, kFirstPacketOffset, bytes.size(), entry.file_offset);
  uint32_t count = 0;
  while (const PacketView* packet = walk.Next()) {
    EXPECT_GE(packet->time_ns, header.first_ns);
    EXPECT_LE(packet->time_ns, header.last_ns);
    into.packets.push_back({.time_ns = packet->time_ns,
                            .frame = {packet->frame.begin(), packet->frame.end()},
                            .wire_bytes = packet->original_bytes,
                            .tag = packet->tag,
                            .gathered = (header.flags & kBlockGathered) != 0,
                            .original_bytes = packet->original_bytes,
                            .interface = header.interface_name});
    ++count;
  }
  EXPECT_TRUE(walk.status()) << walk.status().error().message;
  EXPECT_EQ(count, entry.packet_count);
  EXPECT_EQ(count, header.packet_count);
}

// Empty on success.
std::string EnterNamespace() {
  const unsigned user = ::geteuid();
  const unsigned group = ::getegid();
  const int flags = CLONE_NEWNET | (user == 0 ? 0 : CLONE_NEWUSER);
  if (::unshare(flags) != 0) return fmt::format("unshare of a network namespace: {}", std::strerror(errno));
  if (user != 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << fmt::format("0 {} 1", user);
    std::ofstream("/proc/self/gid_map") << fmt::format("0 {} 1", group);
  }
  // Without it, the interfaces send packets of their own (router solicitations).
  for (const char* scope : {"all", "default"}) {
    std::ofstream(fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", scope)) << "1";
  }
  if (std::system("ip link add veth-tx type veth peer name veth-rx && ip link set veth-tx up && ip link set "
                  "veth-rx up") != 0) {
    return "ip link cannot make a pair of veth interfaces";
  }
  WaitUntilRunning("veth-tx");
  WaitUntilRunning("veth-rx");
  return "";
}

}  // namespace

void WaitUntilRunning(const std::string& interface_name) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  interface_name.copy(request.ifr_name, IFNAMSIZ - 1);
  for (int tries = 0; tries < 300; ++tries, SleepMs(10)) {
    if (::ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0) break;
  }
  ::close(fd);
  SleepMs(20);
}

std::vector<uint8_t> NumberedFrame(uint32_t number) {
  const size_t bytes = 60 + (number * size_t{2654435761} >> 7) % 1455;
  std::vector<uint8_t> frame(bytes);
  const std::vector<uint8_t> start{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0};
  std::copy(start.begin(), start.end(), frame.begin());
  StoreBe(&frame[16], static_cast<uint16_t>(bytes - 14));
  frame[22] = 64;
  frame[23] = 17;
  StoreBe<uint32_t>(&frame[26], 0x0A000001);
  StoreBe<uint32_t>(&frame[30], 0x0A000002 + number % 50);
  StoreBe(&frame[34], static_cast<uint16_t>(1024 + number % 60000));
  StoreBe<uint16_t>(&frame[36], 53);
  StoreBe(&frame[38], static_cast<uint16_t>(bytes - 34));
  StoreBe(&frame[kNumberAt], kMarker);
  StoreBe(&frame[kNumberAt + 4], number);
  for (size_t at = kNumberAt + 8; at < bytes; ++at) frame[at] = static_cast<uint8_t>(at * 31 + number);
  return frame;
}

uint32_t NumberOf(const std::vector<uint8_t>& frame) {
  if (frame.size() < kNumberAt + 8 || LoadBe<uint32_t>(&frame[kNumberAt]) != kMarker) return UINT32_MAX;
  return LoadBe<uint32_t>(&frame[kNumberAt + 4]);
}

std::vector<std::string> NamesIn(const std::string& directory) {
  auto names = ListDirectory(directory);
  EXPECT_TRUE(names) << names.error().message;
  std::sort(names->begin(), names->end());
  return *names;
}

std::vector<RecordedFile> ReadRecorded(const std::string& directory) {
  std::vector<RecordedFile> files;
  for (const std::string& name : NamesIn(directory)) {
    if (name.starts_with('.')) continue;
    const auto file = PacketFile::Open(directory + "/" + name);
    EXPECT_TRUE(file) << file.error().message;
    const auto table = file->WalkBlocks();
    EXPECT_TRUE(table) << table.error().message;
    EXPECT_TRUE(table->clean);
    const auto size = FileSize(file->fd(), name);
    EXPECT_EQ(size.value_or(0), table->valid_bytes);
    RecordedFile& recorded = files.emplace_back();
    recorded.name = name;
    recorded.bytes = table->valid_bytes;
    for (const BlockEntry& entry : table->blocks) ReadBlock(*file, entry, recorded);
  }
  return files;
}

std::vector<RecordedPacket> NumberedPackets(const std::string& directory) {
  std::vector<RecordedPacket> packets;
  for (RecordedFile& file : ReadRecorded(directory)) {
    for (RecordedPacket& packet : file.packets) {
      if (NumberOf(packet.frame) != UINT32_MAX) packets.push_back(std::move(packet));
    }
  }
  return packets;
}

std::string InNetworkNamespace(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (const std::string reason = EnterNamespace(); !reason.empty()) {
      std::fprintf(stderr, "%s\n", reason.c_str());
      ::_exit(kSkipped);
    }
    body();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kSkipped) return "no private network namespace here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child ended with status " << status;
  return "";
}

FrameSender::FrameSender(const std::string& interface_name)
    : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface_name.c_str()));
  EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
      << std::strerror(errno);
}

FrameSender::~FrameSender() { ::close(fd_); }

void FrameSender::Send(const std::vector<uint8_t>& frame) const {
  EXPECT_EQ(::send(fd_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()))
      << std::strerror(errno);
}

void FrameSender::SendNumbered(uint32_t first, uint32_t count) const {
  for (uint32_t number = first; number < first + count; ++number) Send(NumberedFrame(number));
}

void RunCommand(const std::string& command) { EXPECT_EQ(std::system(command.c_str()), 0) << command; }

void SleepMs(int64_t milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

}  // namespace steno
