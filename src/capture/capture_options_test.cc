#include "capture/capture_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace steno {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<ParsedFlags> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"--dir=/d", "--iface=eth0"});
  return ParseCaptureFlags(arguments);
}

std::string MessageOf(std::vector<const char*> arguments) {
  const auto parsed = Parse(std::move(arguments));
  return parsed ? "accepted" : parsed.error().message;
}

TEST(CaptureOptionsTest, DefaultsAreTheIncumbents) {
  const auto parsed = Parse({});
  ASSERT_TRUE(parsed) << parsed.error().message;
  const CaptureOptions& options = parsed->options;
  EXPECT_EQ(options.directory, "/d");
  EXPECT_EQ(options.interface_name, "eth0");
  EXPECT_EQ(options.threads, 1u);
  EXPECT_EQ(options.file_age_sec, 60);
  EXPECT_EQ(options.file_mb, std::nullopt);
  EXPECT_EQ(options.stats_sec, 60);
  EXPECT_EQ(options.packet_limit, -1);
  EXPECT_EQ(options.blocks_per_thread(), 1024u);
  EXPECT_EQ(options.seccomp, SeccompMode::kKill);
  EXPECT_EQ(options.verbosity, 0);
  EXPECT_TRUE(options.index && options.promiscuous);
  EXPECT_TRUE(parsed->help.empty());
}

TEST(CaptureOptionsTest, AcceptsWhatSecurityOnionPasses) {
  const auto parsed =
      Parse({"-v", "--blocks=2048", "--preallocate_file_mb=4096", "--aiops=128", "--uid=stenographer",
             "--gid=stenographer", "--threads=4", "--filter=0006000000040000"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->options.blocks_per_thread(), 512u);
  EXPECT_EQ(parsed->options.preallocate_mb, 4096u);
  EXPECT_EQ(parsed->options.write_queue, 128u);
  EXPECT_EQ(parsed->options.user, "stenographer");
  EXPECT_EQ(parsed->options.group, "stenographer");
  EXPECT_EQ(parsed->options.verbosity, 1);
  EXPECT_EQ(parsed->options.filter, "0006000000040000");
}

TEST(CaptureOptionsTest, AcceptsEveryFlagOfTheIncumbent) {
  const auto parsed =
      Parse({"--blockage_sec=10", "--blocksize_kb=512", "--count=7", "--fanout_id=3", "--fanout_type=5",
             "--fileage_sec=30", "--filesize_mb", "100", "--index_nicelevel=5", "--no_index", "--no_promisc",
             "--no_watchdogs", "-q", "--seccomp=none", "--stats_blocks=0", "--stats_sec=5"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  const CaptureOptions& options = parsed->options;
  EXPECT_EQ(options.block_age_sec, 1);
  EXPECT_EQ(options.block_kb, 512u);
  EXPECT_EQ(options.packet_limit, 7);
  EXPECT_EQ(options.fanout_id, 3);
  EXPECT_EQ(options.fanout_type, 5u);
  EXPECT_EQ(options.file_age_sec, 30);
  EXPECT_EQ(options.file_mb, 100u);
  EXPECT_EQ(options.index_nice, 5);
  EXPECT_FALSE(options.index || options.promiscuous);
  EXPECT_EQ(options.verbosity, -1);
  EXPECT_EQ(options.seccomp, SeccompMode::kNone);
  EXPECT_EQ(options.stats_blocks, 0u);
  EXPECT_EQ(options.stats_sec, 5);
  EXPECT_THAT(parsed->warnings, ElementsAre(HasSubstr("--no_watchdogs")));
}

TEST(CaptureOptionsTest, ReadsOwnFlags) {
  const auto parsed = Parse({"--threads=2", "--arena_fds=5,6", "--parent_fd=7", "--io_engine=pwrite",
                             "--direction=in", "--cpus=1,3", "-v", "-v", "-vv", "-q", "--fanout_type=qm"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(parsed->options.arena_fds, ElementsAre(5, 6));
  EXPECT_THAT(parsed->options.cpus, ElementsAre(1u, 3u));
  EXPECT_EQ(parsed->options.parent_fd, 7);
  EXPECT_EQ(parsed->options.io_engine, "pwrite");
  EXPECT_EQ(parsed->options.direction, Direction::kIn);
  EXPECT_EQ(parsed->options.verbosity, 3);
  EXPECT_EQ(parsed->options.fanout_type, 5u);
}

TEST(CaptureOptionsTest, ReadsWhatConcernsTheInterface) {
  const auto parsed = Parse({"--filter=not port 22", "--snaplen=128", "--timestamp_source=auto",
                             "--numa_node=1", "--threads=2", "--first_slot=4", "--slots=6"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->options.filter, "not port 22");
  EXPECT_EQ(parsed->options.snaplen, 128u);
  EXPECT_EQ(parsed->options.timestamp_source, TimestampSource::kAuto);
  EXPECT_EQ(parsed->options.numa_node, "1");
  EXPECT_EQ(parsed->options.first_slot, 4u);
  EXPECT_EQ(parsed->options.all_slots(), 6u);
  EXPECT_EQ(Parse({"--threads=3"})->options.all_slots(), 3u);
  EXPECT_THAT(MessageOf({"--snaplen=63"}), HasSubstr("--snaplen=63: expected 64..262144"));
  EXPECT_THAT(MessageOf({"--timestamp_source=ntp"}), HasSubstr("expected one of auto, kernel, nic"));
  EXPECT_THAT(MessageOf({"--threads=2", "--slots=1"}), HasSubstr("--slots=1: expected 2.."));
  EXPECT_THAT(MessageOf({"--threads=2", "--slots=4", "--first_slot=3"}),
              HasSubstr("--first_slot=3: expected 0..2"));
}

TEST(CaptureOptionsTest, OfAFlagGivenTwiceTheLastCounts) {
  const auto parsed = Parse({"--blocks=128", "-v", "--blocks", "8", "--iface=eth1", "-v", "--seccomp=none",
                             "--seccomp=trace", "--filesize_mb=1", "--filesize_mb=2"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->options.blocks, 8u);
  EXPECT_EQ(parsed->options.interface_name, "eth1");
  EXPECT_EQ(parsed->options.seccomp, SeccompMode::kTrace);
  EXPECT_EQ(parsed->options.file_mb, 2u);
  EXPECT_EQ(parsed->options.verbosity, 2);
}

TEST(CaptureOptionsTest, ThreadsHaveAtLeastEightBlocks) {
  EXPECT_EQ(Parse({"--threads=4", "--blocks=16"})->options.blocks_per_thread(), 8u);
}

TEST(CaptureOptionsTest, RefusalsNameTheFlagAndWhatItTakes) {
  EXPECT_THAT(MessageOf({"--testimony=x"}), HasSubstr("--testimony is not supported"));
  EXPECT_THAT(MessageOf({"--seccomp=maybe"}),
              HasSubstr("--seccomp=maybe: expected one of kill, none, trace"));
  EXPECT_THAT(MessageOf({"--fanout_type=6"}), HasSubstr("--fanout_type=6: expected 0..5"));
  EXPECT_THAT(MessageOf({"--fanout_type=32768"}), HasSubstr("expected 0..5"));
  EXPECT_THAT(MessageOf({"--fanout_type=round"}), HasSubstr("expected one of cpu, hash"));
  EXPECT_THAT(MessageOf({"--threads=0"}), HasSubstr("--threads=0: expected 1..256"));
  EXPECT_THAT(MessageOf({"--blocks=abc"}), HasSubstr("--blocks"));
  EXPECT_THAT(MessageOf({"--blocksize_kb=8192"}), HasSubstr("expected 16..4096"));
  EXPECT_THAT(MessageOf({"--filesize_mb=5000"}), HasSubstr("--filesize_mb=5000: expected 1..4096"));
  EXPECT_THAT(MessageOf({"--threads=2", "--arena_fds=5"}), HasSubstr("one for each of 2 threads"));
  EXPECT_THAT(MessageOf({"--nonsense=1"}), HasSubstr("--nonsense"));
  const std::vector<const char*> no_interface{"--dir=/d"};
  EXPECT_THAT(ParseCaptureFlags(no_interface).error().message, HasSubstr("--iface is missing"));
}

TEST(CaptureOptionsTest, HelpNamesEveryFlag) {
  for (const char* flag : {"--help", "-?", "--usage"}) {
    const std::vector<const char*> arguments{flag};
    const auto parsed = ParseCaptureFlags(arguments);
    ASSERT_TRUE(parsed) << flag << ": " << parsed.error().message;
    EXPECT_THAT(parsed->help, HasSubstr("--preallocate_file_mb"));
    EXPECT_THAT(parsed->help, HasSubstr("--parent_fd"));
  }
}

TEST(CaptureOptionsTest, ReadsFilesInsteadOfAnInterface) {
  const auto parse = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "--dir=/d");
    return ParseCaptureFlags(arguments);
  };
  const auto message = [&](const std::vector<const char*>& arguments) {
    const auto parsed = parse(arguments);
    return parsed ? "accepted" : parsed.error().message;
  };
  const auto parsed = parse({"--read", "a.pcap", "-", "--read=b.pcap"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_THAT(parsed->options.read_files, ElementsAre("a.pcap", "-", "b.pcap"));
  EXPECT_TRUE(parsed->options.from_stream());
  EXPECT_FALSE(Parse({})->options.from_stream());
  EXPECT_THAT(MessageOf({"--read=a"}), HasSubstr("--iface and --read are both given"));
  EXPECT_THAT(message({}), HasSubstr("--iface is missing"));
  EXPECT_THAT(message({"--read=a", "--threads=2"}), HasSubstr("--read works with --threads=1 only, not 2"));
  EXPECT_THAT(message({"--read=a", "--direction=in"}), HasSubstr("--read knows no direction"));
  EXPECT_THAT(message({"--read=-", "--read=-"}), HasSubstr("one standard input"));
}

TEST(CaptureOptionsTest, TakesAPeerAsInterface) {
  const auto message = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "--dir=/d");
    const auto parsed = ParseCaptureFlags(arguments);
    return parsed ? "accepted" : parsed.error().message;
  };
  EXPECT_EQ(message({"--iface=tcp@127.0.0.1:57012"}), "accepted");
  EXPECT_EQ(message({"--iface=TCP@[::1]:57012"}), "accepted");
  EXPECT_THAT(message({"--iface=tcp@127.0.0.1"}), HasSubstr("expected tcp@HOST:PORT"));
  EXPECT_THAT(message({"--iface=tcp@h:1", "--threads=2"}), HasSubstr("works with --threads=1 only"));
  EXPECT_THAT(message({"--iface=tcp@h:1", "--direction=out"}), HasSubstr("knows no direction"));
}

}  // namespace
}  // namespace steno
