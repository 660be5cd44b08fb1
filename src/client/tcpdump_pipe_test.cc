#include "client/tcpdump_pipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "pcap/pcap_writer.h"
#include "testing/packet_builder.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

std::string MakePcap(size_t packets) {
  std::string pcap;
  AppendPcapFileHeader(pcap, PcapResolution::kMicroseconds, 1);
  for (size_t i = 0; i < packets; ++i) {
    const auto frame =
        testing::PacketBuilder().Ethernet().Ipv4("10.0.0.1", "10.0.0.2").Udp(1000, 53).Payload(100).Build();
    PcapRecord record;
    record.time_ns = 1'700'000'000'000'000'000 + static_cast<int64_t>(i) * 1000;
    record.original_bytes = static_cast<uint32_t>(frame.size());
    record.frame = frame;
    AppendPcapRecord(pcap, PcapResolution::kMicroseconds, record);
  }
  return pcap;
}

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Tcpdump() {
  const auto program = FindTcpdump(std::getenv("PATH"));
  EXPECT_TRUE(program) << program.error().message;
  return program.value_or("tcpdump");
}

class TcpdumpPipeTest : public ::testing::Test {
 protected:
  TcpdumpPipeTest() { ::chmod(directory_.path().c_str(), 0777); }  // a tcpdump that gives up root writes here
  testing::TempDir directory_;
  std::string file_ = directory_.path() + "/out";
};

TEST(FindTcpdump, LooksInPathFirstAndThenWhereRootLooks) {
  const testing::TempDir directory;
  const std::string fake = directory.path() + "/tcpdump";
  std::ofstream(fake) << "#!/bin/sh\n";
  EXPECT_NE(FindTcpdump(directory.path().c_str()).value_or(""), fake) << "not executable";
  ::chmod(fake.c_str(), 0755);
  EXPECT_EQ(FindTcpdump(("/nowhere:" + directory.path()).c_str()).value_or(""), fake);
  EXPECT_THAT(FindTcpdump(nullptr).value_or(""), HasSubstr("bin/tcpdump"));
  EXPECT_THAT(FindTcpdump("").value_or(""), HasSubstr("bin/tcpdump"));
}

TEST_F(TcpdumpPipeTest, SavesExactlyWhatItIsFed) {
  const std::string pcap = MakePcap(2000);
  TcpdumpPipe pipe(Tcpdump(), {"-w", file_});
  for (size_t at = 0; at < pcap.size(); at += 1001) ASSERT_TRUE(pipe.Write(Bytes(pcap.substr(at, 1001))));
  EXPECT_TRUE(pipe.WantsMore());
  const auto status = pipe.Finish();
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(*status, 0);
  const auto saved = ReadTextFile(file_, 1 << 24);
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_EQ(saved->size(), pcap.size());
  EXPECT_EQ(saved->substr(24), pcap.substr(24));  // tcpdump writes its own file header
}

TEST_F(TcpdumpPipeTest, AnEmptyResultIsAFileOf24Bytes) {
  const std::string pcap = MakePcap(0);
  TcpdumpPipe pipe(Tcpdump(), {"-w", file_});
  ASSERT_TRUE(pipe.Write(Bytes(pcap)));
  EXPECT_EQ(pipe.Finish().value_or(-1), 0);
  EXPECT_EQ(ReadTextFile(file_, 100).value_or("").size(), 24U);
}

TEST_F(TcpdumpPipeTest, EndsEarlyWithoutAnError) {
  const std::string pcap = MakePcap(1000);
  TcpdumpPipe pipe(Tcpdump(), {"-w", file_, "-c", "5"});
  bool wants_more = true;
  for (int i = 0; i < 10'000 && wants_more; ++i)
    wants_more = pipe.Write(Bytes(i == 0 ? pcap : pcap.substr(24)));
  EXPECT_FALSE(wants_more);
  EXPECT_TRUE(pipe.error());
  EXPECT_EQ(pipe.Finish().value_or(-1), 0);
  const std::string expected = MakePcap(5);
  EXPECT_EQ(ReadTextFile(file_, 1 << 20).value_or("").size(), expected.size());
}

TEST_F(TcpdumpPipeTest, NoticesItsEndWithoutWriting) {
  const std::string pcap = MakePcap(10);
  TcpdumpPipe pipe(Tcpdump(), {"-w", file_, "-c", "1"});
  ASSERT_TRUE(pipe.Write(Bytes(pcap)));
  bool wants_more = true;
  for (int i = 0; i < 200 && wants_more; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    wants_more = pipe.WantsMore();
  }
  EXPECT_FALSE(wants_more);
  EXPECT_EQ(pipe.Finish().value_or(-1), 0);
}

TEST_F(TcpdumpPipeTest, ReturnsTheStatusOfAFailure) {
  TcpdumpPipe pipe(Tcpdump(), {"-n", "no such filter ((("});
  pipe.Write(Bytes(MakePcap(1)));
  EXPECT_NE(pipe.Finish().value_or(0), 0);
}

TEST_F(TcpdumpPipeTest, ReportsASignalAsAShellDoes) {
  const std::string fake = directory_.path() + "/killed";
  std::ofstream(fake) << "#!/bin/sh\nkill -TERM $$\n";
  ::chmod(fake.c_str(), 0755);
  TcpdumpPipe pipe(fake, {});
  ASSERT_TRUE(pipe.Start());
  EXPECT_EQ(pipe.Finish().value_or(0), 128 + 15);
}

// A tcpdump whose own output is closed must end by SIGPIPE and not run on.
TEST_F(TcpdumpPipeTest, TheChildKeepsTheDefaultActionOfSigpipe) {
  const std::string fake = directory_.path() + "/piped";
  std::ofstream(fake) << "#!/bin/sh\nkill -PIPE $$\nexit 0\n";
  ::chmod(fake.c_str(), 0755);
  TcpdumpPipe first(fake, {});
  ASSERT_TRUE(first.Start());  // from here on this process ignores it
  EXPECT_EQ(first.Finish().value_or(0), 128 + 13);
  TcpdumpPipe second(fake, {});
  ASSERT_TRUE(second.Start());
  EXPECT_EQ(second.Finish().value_or(0), 128 + 13);
}

TEST_F(TcpdumpPipeTest, AProgramThatCannotBeStartedIsAnError) {
  TcpdumpPipe pipe(directory_.path() + "/absent", {});
  EXPECT_FALSE(pipe.Write(Bytes("x")));
  EXPECT_FALSE(pipe.error());
  const auto status = pipe.Finish();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("absent"));
}

TEST_F(TcpdumpPipeTest, NotStartedMeansNothingRan) {
  TcpdumpPipe pipe(Tcpdump(), {"-w", file_});
  EXPECT_TRUE(pipe.WantsMore());
  EXPECT_EQ(pipe.Finish().value_or(-1), 0);
  EXPECT_NE(::access(file_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace steno
