#include "pcap/pcap_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "packet/decode.h"
#include "pcap/pcap_writer.h"
#include "testing/capture_bytes.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;
using Output = testing::CaptureBytes;

// One line per packet, then how the input ended.
std::string ReadAll(PcapReader& reader) {
  std::string text;
  while (true) {
    const auto packet = reader.Next();
    if (!packet.has_value()) return text + "error: " + packet.error().message;
    if (*packet == nullptr) return text + "end";
    const CapturedPacket& got = **packet;
    text += std::to_string(got.time_ns) + " if" + std::to_string(got.interface) + " link" +
            std::to_string(got.link_type) + " " + std::to_string(got.original_bytes) + " " +
            std::string(got.frame.begin(), got.frame.end()) + "\n";
  }
}

std::string Read(const std::string& bytes) {
  UniqueFd fd(::memfd_create("pcap", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ::lseek(fd.get(), 0, SEEK_SET);
  auto reader = OpenPcapFd(std::move(fd), "in");
  return reader.has_value() ? ReadAll(**reader) : "open: " + reader.error().message;
}

std::string Classic(uint32_t magic, bool big, uint32_t captured = 3) {
  Output out(big);
  out.U32(magic).U16(2).U16(4).U32(0).U32(0).U32(65535).U32(113);
  out.U32(4'000'000'000).U32(123'456).U32(captured).U32(60).Raw("abc");
  out.U32(2).U32(1).U32(0).U32(9);
  return out.text();
}

TEST(PcapReader, ClassicInEveryOrderAndResolution) {
  for (const bool big : {false, true}) {
    EXPECT_EQ(Read(Classic(0xa1b2c3d4, big)),
              "4000000000123456000 if0 link113 60 abc\n2000001000 if0 link113 9 \nend");
    EXPECT_EQ(Read(Classic(0xa1b23c4d, big)),
              "4000000000000123456 if0 link113 60 abc\n2000000001 if0 link113 9 \nend");
  }
}

TEST(PcapReader, ClassicEveryCutIsNamed) {
  const std::string whole = Classic(0xa1b2c3d4, false);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string text = Read(whole.substr(0, size));
    if (size == 24 || size == 24 + 16 + 3) {
      EXPECT_THAT(text, ::testing::EndsWith("end")) << size;
    } else {
      EXPECT_THAT(text, HasSubstr("in: byte ")) << size;
      EXPECT_THAT(text, HasSubstr("the input ends inside")) << size;
    }
  }
  EXPECT_EQ(Read(whole.substr(0, 30)),
            "error: in: byte 24: the input ends inside a record header: expected 16 bytes, found 6");
}

TEST(PcapReader, RefusesWhatItCannotRead) {
  EXPECT_EQ(Read("GIF89a"), "open: in: not a pcap or pcapng file: it starts with 0x38464947");
  EXPECT_EQ(Read(Output().U32(0xa1b2cd34).Raw(std::string(60, 0)).text()),
            "open: in: not a pcap or pcapng file: it starts with 0xa1b2cd34");
  EXPECT_EQ(Read(Output().U32(0xa1b2c3d4).U16(543).Raw(std::string(60, 0)).text()),
            "open: in: pcap format version 543: expected 2");
  EXPECT_EQ(Read(Classic(0xa1b2c3d4, false, 262145)),
            "error: in: byte 24: a packet of 262145 captured bytes: expected at most 262144");
  const auto missing = OpenPcap("/nonexistent/file.pcap");
  ASSERT_FALSE(missing.has_value());
  EXPECT_THAT(missing.error().message, HasSubstr("/nonexistent/file.pcap"));
}

TEST(PcapReader, ReadsWhatTheWriterWrote) {
  std::mt19937_64 random(8);
  for (const PcapResolution resolution : {PcapResolution::kMicroseconds, PcapResolution::kNanoseconds}) {
    std::string file;
    AppendPcapFileHeader(file, resolution, 1);
    std::string expected;
    const int64_t unit = resolution == PcapResolution::kMicroseconds ? 1000 : 1;
    for (int i = 0; i < 200; ++i) {
      std::vector<uint8_t> frame(i == 100 ? 262144 : random() % 3000, static_cast<uint8_t>('a' + i % 26));
      const auto time_ns = static_cast<int64_t>(random() % 4'294'967'295'000'000'000u);
      AppendPcapRecord(file, resolution,
                       {.time_ns = time_ns, .original_bytes = 1 << 20, .frame = frame, .tag = {}});
      expected += std::to_string(time_ns / unit * unit) + " if0 link1 1048576 " +
                  std::string(frame.begin(), frame.end()) + "\n";
    }
    EXPECT_TRUE(Read(file) == expected + "end");
  }
}

TEST(PcapReader, FileAndSlowPipe) {
  const std::string bytes = Classic(0xa1b2c3d4, true);
  const std::string expected = Read(bytes);
  const testing::TempDir dir;
  const std::string path = dir.path() + "/x.pcap";
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  auto reader = OpenPcap(path);
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(ReadAll(**reader), expected);

  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::jthread writer([&bytes, fd = UniqueFd(ends[1])] {
    for (const char& byte : bytes) ASSERT_EQ(::write(fd.get(), &byte, 1), 1);
  });
  auto from_pipe = OpenPcapFd(UniqueFd(ends[0]), "pipe");
  ASSERT_TRUE(from_pipe.has_value());
  EXPECT_EQ(ReadAll(**from_pipe), expected);
}

TEST(PcapngReader, PacketBlocksInBothOrders) {
  for (const bool big : {false, true}) {
    Output out(big);
    out.Section().Interface(1).Interface(113, "", 2);
    out.Block(5, Output(big).Raw("statistics of an interface: skipped"));
    out.Enhanced(0, 1'700'000'000'123'456, "abcde", 99);
    out.Enhanced(1, 1, "");
    out.Block(2, Output(big).U16(1).U16(7).U32(0).U32(5).U32(2).U32(60).Raw("xy"));
    out.Block(3, Output(big).U32(3).Raw("spb"));
    EXPECT_EQ(Read(out.text()),
              "1700000000123456000 if0 link1 99 abcde\n1000 if1 link113 0 \n5000 if1 link113 60 xy\n"
              "0 if0 link1 3 spb\nend");
  }
}

TEST(PcapngReader, SimplePacketsAreCutToTheSnapLength) {
  Output out;
  out.Section().Interface(1, "", 4).Block(3, Output().U32(100).Raw("abcd"));
  EXPECT_EQ(Read(out.text()), "0 if0 link1 100 abcd\nend");
}

TEST(PcapngReader, TimeResolutionAndOffset) {
  const struct {
    std::string resolution;
    int64_t offset;
    uint64_t units;
    const char* time;
  } cases[] = {
      {"\x09", 0, 1'700'000'000'000'000'001, "1700000000000000001"},
      {"\x06", 100, 5, "100000005000"},
      {std::string(1, '\0'), -1, 3, "2000000000"},
      {"\x03", -2, 1, "-1999000000"},
      {"\x0c", 0, 1'234'567, "1234"},
      {"\x1c", 0, ~uint64_t{0}, "1"},
      {"\x1d", 0, ~uint64_t{0}, "0"},
      {"\x7f", 0, ~uint64_t{0}, "0"},
      {"\x8a", 0, 1024 + 512, "1500000000"},
      {"\xa0", 0, uint64_t{3} << 32 | uint64_t{1} << 31, "3500000000"},
      {"\xff", 0, ~uint64_t{0}, "0"},
  };
  for (const bool big : {false, true}) {
    for (const auto& item : cases) {
      Output out(big);
      const std::string options = out.Option(2, "eth0") + out.Option(9, item.resolution) +
                                  out.Option(14, out.Seconds(item.offset)) + out.Option(0, "") +
                                  out.Option(9, "\x09");  // behind the end: does not count
      out.Section().Interface(1, options).Enhanced(0, item.units, "p");
      EXPECT_EQ(Read(out.text()), std::string(item.time) + " if0 link1 1 p\nend");
    }
  }
  Output out;
  out.Section().Interface(1, out.Option(9, std::string(1, '\0'))).Enhanced(0, uint64_t{1} << 40, "p");
  EXPECT_THAT(Read(out.text()), HasSubstr("a time outside of the years"));
}

TEST(PcapngReader, SectionsStandAlone) {
  std::string text = Output(true).Section().Interface(1).Enhanced(0, 1, "a").text();
  text += Output(false).Section().Interface(101).Enhanced(0, 2, "b").text();
  EXPECT_EQ(Read(text), "1000 if0 link1 1 a\n2000 if0 link101 1 b\nend");
  text += Output(true).Section().Enhanced(0, 3, "c").text();
  EXPECT_THAT(Read(text), HasSubstr("a packet of interface 0: the section has 0 so far"));
}

TEST(PcapngReader, DamageIsNamedByItsOffset) {
  const std::string start = Output().Section().Interface(1).text();
  const std::string at = "error: in: byte " + std::to_string(start.size()) + ": ";
  EXPECT_EQ(Read(start + Output().U32(6).U32(10).Raw("12").text()),
            at + "a block of 10 bytes: expected a multiple of 4, at least 12");
  EXPECT_EQ(Read(start + Output().U32(6).U32(1 << 21).text()),
            at + "a block of 2097152 bytes: expected at most 1048576");
  EXPECT_EQ(Read(start + Output().U32(6).U32(12).U32(16).text()),
            at + "a block of 12 bytes ends with the length 16: expected the same");
  EXPECT_EQ(Read(start + Output().Block(6, Output().U32(0)).text()),
            at + "an enhanced packet block without its fields");
  EXPECT_THAT(Read(start + Output().Block(6, Output().U32(0).U32(0).U32(0).U32(5).U32(5).Raw("abcd")).text()),
              HasSubstr("a packet of 5 captured bytes: the block has room for 4"));
  EXPECT_THAT(Read(start + Output().Block(3, Output().U32(5).Raw("abcd")).text()),
              HasSubstr("a packet of 5 bytes in a block with room for 4"));
  EXPECT_THAT(Read(start + Output().Block(1, Output().U32(0)).text()),
              HasSubstr("an interface block without"));
  EXPECT_THAT(Read(start + Output().Block(1, Output().U64(0).U16(9).U16(9).U32(0)).text()),
              HasSubstr("an option ends outside its block"));
  EXPECT_THAT(Read(Output().U32(0x0a0d0d0a).U32(28).U32(0x12345678).Raw(std::string(16, 0)).text()),
              HasSubstr("byte order 0x12345678: expected 0x1a2b3c4d"));
  EXPECT_THAT(Read(Output().Block(0x0a0d0d0a, Output().U32(0x1a2b3c4d).U16(2).U16(0).U64(0)).text()),
              HasSubstr("pcapng format version 2: expected 1"));
}

TEST(PcapngReader, LargeUnknownBlocksAreSkippedNotHeld) {
  Output out;
  out.Section().Interface(1).Block(0xbad, Output().Raw(std::string(3 << 20, 'z'))).Enhanced(0, 1, "a");
  EXPECT_EQ(Read(out.text()), "1000 if0 link1 1 a\nend");
}

// Any damage ends in packets, "end" or an error: never in a crash or in endless reading.
TEST(PcapReader, RandomDamage) {
  std::mt19937_64 random(9);
  Output ng;
  ng.Section().Interface(1, ng.Option(9, "\x09")).Interface(113);
  for (uint32_t i = 0; i < 5; ++i) ng.Enhanced(i % 2, i, std::string(i * 7, 'q'));
  const std::string inputs[] = {Classic(0xa1b2c3d4, false), Classic(0xa1b23c4d, true), ng.text()};
  unsigned errors = 0;
  for (int i = 0; i < 6000; ++i) {
    std::string bytes = inputs[i % 3];
    for (size_t changes = 1 + random() % 3; changes > 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const std::string text = Read(bytes);
    ASSERT_TRUE(text.ends_with("end") || text.find("in: ") != std::string::npos) << text;
    errors += text.ends_with("end") ? 0 : 1;
  }
  EXPECT_GT(errors, 1000u);
}

// Captures of real networks, where a directory of them is at hand: every file is read to its end or to
// damage.
TEST(PcapReader, RealCaptures) {
  const char* given = std::getenv("STENO_TEST_PCAPS");
  if (given == nullptr) GTEST_SKIP() << "set STENO_TEST_PCAPS to a directory of captures";
  size_t files = 0;
  size_t packets = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(given)) {
    if (!entry.is_regular_file() || entry.path().extension().string().find("cap") == std::string::npos)
      continue;
    auto reader = OpenPcap(entry.path());
    ++files;
    if (!reader.has_value()) continue;
    while (true) {
      const auto packet = (*reader)->Next();
      if (!packet.has_value() || *packet == nullptr) break;
      PacketHeaders headers;
      Decode((*packet)->frame, {}, headers);
      ++packets;
    }
  }
  EXPECT_GT(files, 0u);
  EXPECT_GT(packets, 0u);
}

}  // namespace
}  // namespace steno
