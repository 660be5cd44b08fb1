// What only the io_uring engine has: registered memory and a restricted ring.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <liburing.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/mapping.h"
#include "storage/engines.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

// This process's io_uring, or -1.
int RingFd() {
  const auto names = ListDirectory("/proc/self/fd");
  for (const std::string& name : *names) {
    std::array<char, 64> target{};
    const std::string path = "/proc/self/fd/" + name;
    if (::readlink(path.c_str(), target.data(), target.size() - 1) > 0 &&
        std::string(target.data()) == "anon_inode:[io_uring]") {
      return std::stoi(name);
    }
  }
  return -1;
}

// The number of registered buffers, as the kernel tells it.
int RegisteredBuffers(int ring) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(ring));
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("UserBufs:")) return std::stoi(line.substr(9));
  }
  return -1;
}

class UringEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = MakeUringEngine(4);
    if (!engine) GTEST_SKIP() << engine.error().message;
    engine_ = std::move(*engine);
    ring_ = RingFd();
    ASSERT_GE(ring_, 0);
  }

  int64_t WriteFirst(const Mapping& memory, size_t offset, size_t bytes) {
    const auto fd = OpenFile(dir_.path() + "/file", O_RDWR | O_CREAT);
    EXPECT_TRUE(engine_->SubmitWrite(fd->get(), memory.bytes().subspan(offset, bytes), 0, 1));
    std::array<WriteCompletion, 1> done;
    while (engine_->Reap(done) == 0) {
      pollfd wait{engine_->event_fd(), POLLIN, 0};
      if (::poll(&wait, 1, 5000) != 1) return -ETIMEDOUT;
    }
    return done[0].result;
  }

  testing::TempDir dir_;
  std::unique_ptr<IoEngine> engine_;
  int ring_ = -1;
};

TEST_F(UringEngineTest, RegistersMemoryBeforeAndAfterTheFirstWrite) {
  const auto memory = Mapping::Anonymous(1 << 20);
  const std::array<iovec, 2> halves{{{memory->data() + 4096, 8192}, {memory->data() + 65536, 4096}}};
  engine_->RegisterMemory(halves);
  EXPECT_EQ(RegisteredBuffers(ring_), 2);
  // Inside, across an end, before and behind the regions: fixed or plain, the write succeeds.
  for (const size_t offset : {0, 4096, 8192, 12288, 65536, 69632})
    EXPECT_EQ(WriteFirst(*memory, offset, 8192), 8192);
  const iovec whole{memory->data(), memory->size()};
  engine_->RegisterMemory({&whole, 1});
  EXPECT_EQ(RegisteredBuffers(ring_), 1);
  EXPECT_EQ(WriteFirst(*memory, 0, 1 << 20), 1 << 20);
}

TEST_F(UringEngineTest, MemoryThatCannotBeRegisteredIsWrittenAllTheSame) {
  const auto memory = Mapping::Anonymous(8192);
  const iovec nonsense{nullptr, 4096};
  engine_->RegisterMemory({&nonsense, 1});
  EXPECT_LE(RegisteredBuffers(ring_), 0);
  EXPECT_EQ(WriteFirst(*memory, 0, 4096), 4096);
}

TEST_F(UringEngineTest, TheRingIsRestrictedToWrites) {
  const auto memory = Mapping::Anonymous(4096);
  ASSERT_EQ(WriteFirst(*memory, 0, 4096), 4096);
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(io_uring_register(static_cast<unsigned>(ring_), IORING_REGISTER_FILES, &file, 1), -EACCES);
  ::close(file);
}

}  // namespace
}  // namespace steno
