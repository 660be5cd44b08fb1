// What the tests of this module share: frames that carry their number, reading back what was recorded, and
// private network namespaces. Tests only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "packet/decode.h"

namespace steno {

struct RecordedPacket {
  int64_t time_ns = 0;
  std::vector<uint8_t> frame;  // without a stripped tag
  uint32_t wire_bytes = 0;
  StrippedTag tag;
  bool gathered = false;  // its block was put together from several
  uint32_t original_bytes = 0;
  std::string interface;  // its block's
};

struct RecordedFile {
  std::string name;
  uint64_t bytes = 0;
  uint64_t drops = 0;
  uint16_t thread = 0;
  uint32_t snaplen = 0;
  std::vector<RecordedPacket> packets;  // in file order
};

// A UDP frame of 60 to 1514 bytes whose length, ports and payload follow from `number`.
std::vector<uint8_t> NumberedFrame(uint32_t number);
// The number of such a frame; UINT32_MAX if it is another.
uint32_t NumberOf(const std::vector<uint8_t>& frame);

// The files with final names in a packets directory, by name. Fails the test at any block or packet that is
// damaged.
std::vector<RecordedFile> ReadRecorded(const std::string& directory);
// The packets of ReadRecorded() that are numbered frames, file after file.
std::vector<RecordedPacket> NumberedPackets(const std::string& directory);
// Names in a directory, sorted.
std::vector<std::string> NamesIn(const std::string& directory);

// Runs `body` in a child process with a network namespace of its own, in which veth interfaces "veth-tx" and
// "veth-rx" are up. Failures of the body fail the test. Returns why this machine does not allow it, to skip
// the test; else "".
std::string InNetworkNamespace(const std::function<void()>& body);

// A packet socket that sends on an interface of the caller's namespace.
class FrameSender {
 public:
  explicit FrameSender(const std::string& interface_name);
  ~FrameSender();
  FrameSender(const FrameSender&) = delete;
  FrameSender& operator=(const FrameSender&) = delete;

  void Send(const std::vector<uint8_t>& frame) const;
  // NumberedFrame(first) and so on.
  void SendNumbered(uint32_t first, uint32_t count) const;

 private:
  int fd_ = -1;
};

// Until the interface passes packets: the kernel turns its queue on a while after both ends of a pair are up.
void WaitUntilRunning(const std::string& interface_name);
void RunCommand(const std::string& command);
void SleepMs(int64_t milliseconds);

}  // namespace steno
