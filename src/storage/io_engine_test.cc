#include "storage/io_engine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "base/mapping.h"
#include "storage/engines.h"
#include "storage/output_file.h"
#include "storage/storage_fixture.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

constexpr size_t kPage = 4096;
constexpr int kWaitMs = 5000;

std::unique_ptr<IoEngine> Make(const std::string& kind, unsigned depth) {
  auto choice = MakeIoEngine({kind, depth});
  EXPECT_TRUE(choice) << choice.error().message;
  return choice ? std::move(choice->engine) : nullptr;
}

Mapping RandomMemory(size_t bytes, uint64_t seed) {
  auto memory = Mapping::Anonymous(bytes);
  std::mt19937_64 random(seed);
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t value = random();
    std::memcpy(memory->data() + i, &value, 8);
  }
  return std::move(*memory);
}

// Waits by event_fd alone until `count` writes are reaped. Any write that is not announced makes it time out.
std::vector<WriteCompletion> Await(IoEngine& engine, size_t count) {
  std::vector<WriteCompletion> all;
  std::array<WriteCompletion, 7> some;
  while (all.size() < count) {
    pollfd wait{engine.event_fd(), POLLIN, 0};
    if (::poll(&wait, 1, kWaitMs) != 1) {
      ADD_FAILURE() << "event_fd silent with " << engine.in_flight() << " writes in flight";
      break;
    }
    const size_t reaped = engine.Reap(some);
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(reaped));
  }
  return all;
}

class IoEngineTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto choice = MakeIoEngine({GetParam(), 1});
    if (!choice) GTEST_SKIP() << choice.error().message;
  }

  UniqueFd Open(int flags) { return std::move(*OpenFile(path_, O_RDWR | O_CREAT | flags)); }

  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/file";
};

// Pieces of random size in random order, as many in flight as allowed, from memory that is registered in
// part.
void WriteRandomly(IoEngine& engine, int fd, const Mapping& memory, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::pair<size_t, size_t>> pieces;
  for (size_t at = 0; at < memory.size();) {
    const size_t bytes = std::min(memory.size() - at, kPage * (1 + random() % 64));
    pieces.emplace_back(at, bytes);
    at += bytes;
  }
  std::shuffle(pieces.begin(), pieces.end(), random);
  std::map<uint64_t, size_t> expected;
  std::vector<WriteCompletion> done;
  for (uint64_t token = 0; token < pieces.size(); ++token) {
    const auto [at, bytes] = pieces[token];
    expected[token] = bytes;
    for (;;) {
      const Status submitted = engine.SubmitWrite(fd, memory.bytes().subspan(at, bytes), at, token);
      if (submitted) break;
      ASSERT_EQ(submitted.error().code, ErrorCode::kExhausted);
      const auto some = Await(engine, 1);
      ASSERT_FALSE(some.empty());
      done.insert(done.end(), some.begin(), some.end());
    }
  }
  const auto rest = Await(engine, pieces.size() - done.size());
  done.insert(done.end(), rest.begin(), rest.end());
  ASSERT_EQ(done.size(), pieces.size());
  EXPECT_EQ(engine.in_flight(), 0u);
  for (const WriteCompletion& completion : done) {
    ASSERT_EQ(expected.count(completion.token), 1u) << "reported twice or never submitted";
    EXPECT_EQ(completion.result, static_cast<int64_t>(expected[completion.token]));
    EXPECT_GT(completion.latency_ns, 0);
    EXPECT_LT(completion.latency_ns, 60 * kNsPerSecond);
    expected.erase(completion.token);
  }
}

TEST_P(IoEngineTest, StoresTheSameBytesDirectAndBuffered) {
  const Mapping memory = RandomMemory(6 << 20, 1);
  for (const int flags : {O_DIRECT, 0}) {
    for (const bool registered : {true, false}) {
      const auto engine = Make(GetParam(), 16);
      EXPECT_EQ(engine->name(), GetParam());
      const iovec region{memory.data(), memory.size() / 2};
      if (registered) engine->RegisterMemory({&region, 1});
      const UniqueFd fd = Open(flags | O_TRUNC);
      WriteRandomly(*engine, fd.get(), memory, 2 + static_cast<uint64_t>(flags));
      const auto stored = ReadTestFile(path_);
      ASSERT_EQ(stored.size(), memory.size());
      EXPECT_EQ(std::memcmp(stored.data(), memory.data(), stored.size()), 0);
    }
  }
}

// Completions that come while others are reaped are announced too, by a signal of their own or a repeated
// one.
TEST_P(IoEngineTest, AnnouncesWritesThatEndWhileOthersAreReaped) {
  const Mapping memory = RandomMemory(6 << 20, 6);
  const auto engine = Make(GetParam(), 16);
  const UniqueFd fd = Open(O_DIRECT);
  for (uint64_t round = 0; round < 30 && !HasFailure(); ++round)
    WriteRandomly(*engine, fd.get(), memory, 100 + round);
}

// Writes of a batch are started by its end; those outside at once.
TEST_P(IoEngineTest, StartsBatches) {
  const Mapping memory = RandomMemory(kPage, 7);
  const auto engine = Make(GetParam(), 16);
  const UniqueFd fd = Open(0);
  for (uint64_t round = 0; round < 20; ++round) {
    engine->BeginBatch();
    for (uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), i * kPage, i));
    engine->EndBatch();
    EXPECT_EQ(Await(*engine, 5).size(), 5u);
    ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 0, 1));
    EXPECT_EQ(Await(*engine, 1).size(), 1u);
  }
}

TEST_P(IoEngineTest, WritesPreparedFiles) {
  const Mapping memory = RandomMemory(2 << 20, 3);
  auto file = PrepareFile(dir_.path(), memory.size(), memory.size());
  ASSERT_TRUE(file);
  const auto engine = Make(GetParam(), 8);
  WriteRandomly(*engine, file->fd.get(), memory, 4);
  ASSERT_EQ(*PublishFile(std::move(*file), 77, memory.size()), "77");
  const auto stored = ReadTestFile(dir_.path() + "/77");
  ASSERT_EQ(stored.size(), memory.size());
  EXPECT_EQ(std::memcmp(stored.data(), memory.data(), stored.size()), 0);
}

TEST_P(IoEngineTest, RefusesMoreThanTheQueueHolds) {
  const Mapping memory = RandomMemory(kPage, 5);
  const auto engine = Make(GetParam(), 4);
  const UniqueFd fd = Open(O_DIRECT);
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), i * kPage, i));
  EXPECT_EQ(engine->in_flight(), 4u);
  const Status fifth = engine->SubmitWrite(fd.get(), memory.bytes(), 4 * kPage, 4);
  ASSERT_FALSE(fifth);
  EXPECT_EQ(fifth.error().code, ErrorCode::kExhausted);
  EXPECT_EQ(Await(*engine, 4).size(), 4u);
  EXPECT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 4 * kPage, 4));
  EXPECT_EQ(Await(*engine, 1).size(), 1u);
}

TEST_P(IoEngineTest, AWrongDescriptorIsAnErrorOfItsWrite) {
  const Mapping memory = RandomMemory(kPage, 6);
  const auto engine = Make(GetParam(), 4);
  ASSERT_TRUE(Open(0).valid());
  const UniqueFd read_only = std::move(*OpenFile(path_, O_RDONLY));
  const UniqueFd good = Open(O_DIRECT);
  const int closed = ::dup(good.get());
  ::close(closed);
  ASSERT_TRUE(engine->SubmitWrite(read_only.get(), memory.bytes(), 0, 1));
  ASSERT_TRUE(engine->SubmitWrite(closed, memory.bytes(), 0, 2));
  ASSERT_TRUE(engine->SubmitWrite(good.get(), memory.bytes(), 0, 3));
  std::map<uint64_t, int64_t> results;
  for (const WriteCompletion& completion : Await(*engine, 3)) results[completion.token] = completion.result;
  EXPECT_EQ(results[1], -EBADF);
  EXPECT_EQ(results[2], -EBADF);
  EXPECT_EQ(results[3], static_cast<int64_t>(kPage));
}

// The next file may get the descriptor number of the one before.
TEST_P(IoEngineTest, AReleasedFilesNumberMayMeanAnotherFile) {
  const auto engine = Make(GetParam(), 4);
  int number = -1;
  for (uint64_t round = 0; round < 3 * kEngineFiles; ++round) {
    const Mapping memory = RandomMemory(kPage, round);
    const std::string path = dir_.path() + "/" + std::to_string(round);
    const UniqueFd fd = std::move(*OpenFile(path, O_RDWR | O_CREAT | O_DIRECT));
    ASSERT_TRUE(number < 0 || fd.get() == number) << "the test needs the same number again";
    number = fd.get();
    ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 0, round));
    ASSERT_EQ(Await(*engine, 1).size(), 1u);
    EXPECT_EQ(std::memcmp(ReadTestFile(path).data(), memory.data(), kPage), 0);
    engine->ReleaseFile(fd.get());
    // Nothing holds the file any more: a lease for writing is only given to the one who has it open.
    EXPECT_EQ(::fcntl(fd.get(), F_SETLEASE, F_WRLCK), 0) << std::strerror(errno);
  }
  engine->ReleaseFile(-1);
  engine->ReleaseFile(number);
}

TEST_P(IoEngineTest, WritesToManyFilesAtTheSameTime) {
  const Mapping memory = RandomMemory(kEngineFiles * kPage, 13);
  const auto engine = Make(GetParam(), kEngineFiles);
  std::vector<UniqueFd> files;
  for (uint64_t i = 0; i < kEngineFiles; ++i) {
    files.push_back(std::move(*OpenFile(dir_.path() + "/" + std::to_string(i), O_RDWR | O_CREAT | O_DIRECT)));
    ASSERT_TRUE(engine->SubmitWrite(files[i].get(), memory.bytes().subspan(i * kPage, kPage), 0, i));
  }
  EXPECT_EQ(Await(*engine, kEngineFiles).size(), kEngineFiles);
  for (uint64_t i = 0; i < kEngineFiles; ++i) {
    const auto stored = ReadTestFile(dir_.path() + "/" + std::to_string(i));
    ASSERT_EQ(stored.size(), kPage);
    EXPECT_EQ(std::memcmp(stored.data(), memory.data() + i * kPage, kPage), 0);
  }
}

TEST_P(IoEngineTest, AFullDiskIsAnErrorOfItsWrite) {
  const Mapping memory = RandomMemory(3 << 20, 7);
  const bool ran = OnSmallDisk(dir_.path(), 2, [&] {
    const auto engine = Make(GetParam(), 4);
    const UniqueFd fd = Open(0);
    ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 0, 1));
    const auto done = Await(*engine, 1);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].result, -ENOSPC);
  });
  if (!ran) GTEST_SKIP() << "no user namespaces here";
}

TEST_P(IoEngineTest, AFileSizeLimitIsAnErrorOfItsWrite) {
  const Mapping memory = RandomMemory(3 * kPage, 8);
  InChild([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{2 * kPage, 2 * kPage};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    const auto engine = Make(GetParam(), 4);
    const UniqueFd fd = Open(0);
    ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 0, 1));
    const auto done = Await(*engine, 1);
    ASSERT_EQ(done.size(), 1u);
    EXPECT_EQ(done[0].result, -EFBIG);
    EXPECT_EQ(ReadTestFile(path_).size(), 2 * kPage) << "the part that fits is written";
  });
}

// The capture thread sleeps in epoll with EPOLLET: each completion must give an edge, and Reap must then find
// it.
TEST_P(IoEngineTest, AnnouncesEveryCompletionByAnEdge) {
  const Mapping memory = RandomMemory(kPage, 9);
  const auto engine = Make(GetParam(), 8);
  const UniqueFd fd = Open(O_DIRECT);
  const UniqueFd poller(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event interest{EPOLLIN | EPOLLET, {}};
  ASSERT_EQ(::epoll_ctl(poller.get(), EPOLL_CTL_ADD, engine->event_fd(), &interest), 0);
  std::array<WriteCompletion, 8> done;
  for (uint64_t round = 0; round < 200; ++round) {
    ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), round * kPage, round));
    size_t reaped = 0;
    while (reaped == 0) {
      epoll_event event{};
      // A completion's task work may interrupt the wait without an edge of its own.
      int ready = -1;
      do {
        ready = ::epoll_wait(poller.get(), &event, 1, kWaitMs);
      } while (ready < 0 && errno == EINTR);
      ASSERT_EQ(ready, 1) << "no edge in round " << round;
      reaped = engine->Reap(done);
    }
    ASSERT_EQ(reaped, 1u);
    EXPECT_EQ(done[0].token, round);
  }
}

// What does not fit into `out` is announced again, and a quiet engine is not.
TEST_P(IoEngineTest, EventFdTellsTheTruth) {
  const Mapping memory = RandomMemory(kPage, 10);
  const auto engine = Make(GetParam(), 8);
  const UniqueFd fd = Open(O_DIRECT);
  for (uint64_t i = 0; i < 8; ++i) ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), i * kPage, i));
  std::array<WriteCompletion, 1> one;
  for (size_t reaped = 0; reaped < 8;) {
    pollfd wait{engine->event_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, kWaitMs), 1);
    reaped += engine->Reap(one);
  }
  // Late signals of the last completions are allowed, but they end.
  int wakeups = 0;
  for (pollfd wait{engine->event_fd(), POLLIN, 0}; ::poll(&wait, 1, 20) == 1; ++wakeups) {
    EXPECT_EQ(engine->Reap(one), 0u);
    ASSERT_LT(wakeups, 10);
  }
}

TEST_P(IoEngineTest, MayBeMadeOnAnotherThread) {
  const Mapping memory = RandomMemory(kPage, 11);
  auto engine = Make(GetParam(), 4);
  const iovec region{memory.data(), memory.size()};
  engine->RegisterMemory({&region, 1});
  const UniqueFd fd = Open(O_DIRECT);
  std::thread owner([&, engine = std::move(engine)]() mutable {
    EXPECT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes(), 0, 1));
    const auto done = Await(*engine, 1);
    EXPECT_TRUE(done.size() == 1 && done[0].result == static_cast<int64_t>(kPage));
    engine.reset();
  });
  owner.join();
}

// When the destructor returns, the memory may be used for something else.
TEST_P(IoEngineTest, TheDestructorWaits) {
  for (uint64_t round = 0; round < 5; ++round) {
    const Mapping memory = RandomMemory(8 << 20, 12 + round);
    const std::vector<uint8_t> copy(memory.bytes().begin(), memory.bytes().end());
    const UniqueFd fd = Open(O_DIRECT | O_TRUNC);
    auto engine = Make(GetParam(), 8);
    for (uint64_t i = 0; i < 8; ++i) {
      ASSERT_TRUE(engine->SubmitWrite(fd.get(), memory.bytes().subspan(i << 20, 1 << 20), i << 20, i));
    }
    engine.reset();
    std::memset(memory.data(), 0, memory.size());
    EXPECT_EQ(ReadTestFile(path_), copy);
  }
}

INSTANTIATE_TEST_SUITE_P(All, IoEngineTest, ::testing::Values("io_uring", "libaio", "pwrite"),
                         [](const auto& test) { return std::string(test.param); });

// Makes the named system calls fail with EPERM in this process, as the profiles of container runtimes do.
void RefuseCalls(uint32_t first, uint32_t second) {
  const std::array<sock_filter, 5> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{static_cast<uint16_t>(program.size()), const_cast<sock_filter*>(program.data())};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST(MakeIoEngine, FallsBackAndSaysWhy) {
  InChild([] {
    RefuseCalls(SYS_io_uring_setup, SYS_io_uring_setup);
    const auto choice = MakeIoEngine({"auto", 8});
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(choice->engine->name(), "libaio");
    EXPECT_NE(choice->reason.find("io_uring_setup: Operation not permitted"), std::string::npos)
        << choice->reason;
    const std::string sysctl = ReadTextFile("/proc/sys/kernel/io_uring_disabled", 64).value_or("0");
    ASSERT_FALSE(sysctl.empty());
    EXPECT_EQ(choice->reason.find("seccomp") != std::string::npos, sysctl[0] != '2') << choice->reason;
    EXPECT_EQ(choice->reason.find("io_uring_disabled") != std::string::npos, sysctl[0] != '0')
        << choice->reason;
  });
  InChild([] {
    RefuseCalls(SYS_io_uring_setup, SYS_io_setup);
    const auto choice = MakeIoEngine({"auto", 8});
    ASSERT_TRUE(choice) << choice.error().message;
    EXPECT_EQ(choice->engine->name(), "pwrite");
    EXPECT_FALSE(MakeIoEngine({"libaio", 8}));
  });
}

TEST(MakeIoEngine, RefusesNonsense) {
  for (const IoEngineOptions& options : {IoEngineOptions{"dpdk", 8}, {"auto", 0}, {"auto", 1 << 20}}) {
    const auto choice = MakeIoEngine(options);
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code, ErrorCode::kInvalid) << choice.error().message;
  }
}

}  // namespace
}  // namespace steno
