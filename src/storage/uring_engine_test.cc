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

// What the kernel tells of a ring: "UserBufs" and "UserFiles" are the sizes of its tables.
int RingInfo(int ring, const std::string& field) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(ring));
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with(field + ":")) return std::stoi(line.substr(field.size() + 1));
  }
  return -1;
}
int RegisteredBuffers(int ring) { return RingInfo(ring, "UserBufs"); }

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
    engine_->ReleaseFile(fd->get());
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

TEST_F(UringEngineTest, HasATableForItsFilesAndNoMoreAreInUse) {
  EXPECT_EQ(RingInfo(ring_, "UserFiles"), static_cast<int>(kEngineFiles));
  const auto memory = Mapping::Anonymous(4096);
  std::array<WriteCompletion, 1> done;
  std::vector<UniqueFd> files;
  const auto write = [&] {
    files.push_back(std::move(*OpenFile(dir_.path() + "/" + std::to_string(files.size()), O_RDWR | O_CREAT)));
    return engine_->SubmitWrite(files.back().get(), memory->bytes(), 0, 1);
  };
  const auto reap = [&] {
    while (engine_->Reap(done) == 0) {
      pollfd wait{engine_->event_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&wait, 1, 5000), 1);
    }
  };
  for (size_t i = 0; i < kEngineFiles; ++i) {
    ASSERT_TRUE(write());
    reap();
  }
  const Status beyond = write();
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::kExhausted);
  engine_->ReleaseFile(files.front().get());
  EXPECT_TRUE(write());
  reap();
}

// A ring with one registered file, restricted as the engine's is.
class RestrictedRing {
 public:
  explicit RestrictedRing(int file) {
    io_uring_params params{};
    params.flags = IORING_SETUP_R_DISABLED;
    made_ = io_uring_queue_init_params(4, &ring_, &params) == 0 &&
            io_uring_register_files(&ring_, &file, 1) == 0 && RestrictRing(ring_.ring_fd).has_value() &&
            io_uring_register(static_cast<unsigned>(ring_.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr,
                              0) == 0;
  }
  ~RestrictedRing() { io_uring_queue_exit(&ring_); }
  RestrictedRing(const RestrictedRing&) = delete;
  RestrictedRing& operator=(const RestrictedRing&) = delete;

  [[nodiscard]] bool made() const { return made_; }

  // The result of one operation, which `prepare` describes.
  template <class Prepare>
  int Run(unsigned flags, const Prepare& prepare) {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    prepare(sqe);
    io_uring_sqe_set_flags(sqe, flags);
    io_uring_submit(&ring_);
    io_uring_cqe* cqe = nullptr;
    if (io_uring_wait_cqe(&ring_, &cqe) != 0) return -ETIMEDOUT;
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    return result;
  }

 private:
  io_uring ring_{};
  bool made_ = false;
};

TEST_F(UringEngineTest, RestrictionsLetWritesToRegisteredFilesThroughAndNothingElse) {
  const auto file = OpenFile(dir_.path() + "/file", O_RDWR | O_CREAT);
  RestrictedRing ring(file->get());
  ASSERT_TRUE(ring.made());
  const auto write = [](int fd) {
    return [fd](io_uring_sqe* sqe) { io_uring_prep_write(sqe, fd, "hello", 5, 0); };
  };
  EXPECT_EQ(ring.Run(IOSQE_FIXED_FILE, write(0)), 5);
  EXPECT_EQ(ring.Run(0, write(file->get())), -EACCES) << "an open descriptor outside of the table";
  EXPECT_EQ(ring.Run(IOSQE_FIXED_FILE, write(1)), -EBADF);
  const auto open = [](io_uring_sqe* sqe) {
    io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
  };
  EXPECT_EQ(ring.Run(0, open), -EACCES);
  EXPECT_EQ(ring.Run(IOSQE_FIXED_FILE, open), -EACCES);
  std::array<char, 8> text{};
  EXPECT_EQ(ring.Run(IOSQE_FIXED_FILE,
                     [&](io_uring_sqe* sqe) { io_uring_prep_read(sqe, 0, text.data(), text.size(), 0); }),
            -EACCES);
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
