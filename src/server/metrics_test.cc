#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/clock.h"
#include "testing/temp_dir.h"

namespace steno {
namespace {

using ::testing::HasSubstr;

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    for (uint32_t thread = 0; thread < 2; ++thread) {
      capture_.arenas.push_back(std::make_shared<const Arena>(std::move(*Arena::Create(thread))));
    }
    capture_.interface = "eth7";
    capture_.running = true;
    capture_.starts = 1;
  }

  [[nodiscard]] std::string Page() const {
    return MetricsPage(stats_, {5, 1, 1'767'225'600'500'000'000}, {capture_});
  }

  ServerStats stats_;
  CaptureState capture_;
};

TEST_F(MetricsTest, ShowsValuesByThreadAndCause) {
  CaptureCounters& counters = capture_.arenas[1]->counters();
  counters.packets = 1'234'567'890'123'456;
  counters.ring_drops = 7;
  counters.write_error_drops = 8;
  counters.removed_packets = 9;
  counters.disk_errno = ENOSPC;
  counters.last_packet_ns = 1'500'000'000;
  const std::string page = Page();
  for (const char* line : {
           "# TYPE steno_capture_packets_total counter\n",
           "steno_capture_packets_total{interface=\"eth7\",thread=\"0\"} 0\n",
           "steno_capture_packets_total{interface=\"eth7\",thread=\"1\"} 1234567890123456\n",
           "steno_dropped_packets_total{interface=\"eth7\",thread=\"1\",cause=\"ring_full\"} 7\n",
           "steno_dropped_packets_total{interface=\"eth7\",thread=\"1\",cause=\"write_error\"} 8\n",
           "steno_dropped_packets_total{interface=\"eth7\",thread=\"1\",cause=\"file_removed\"} 9\n",
           "steno_disk_trouble{interface=\"eth7\",thread=\"0\"} 0\n",
           "steno_disk_trouble{interface=\"eth7\",thread=\"1\"} 1\n",
           "steno_last_packet_timestamp_seconds{interface=\"eth7\",thread=\"1\"} 1.5\n",
           "steno_packet_files{indexed=\"true\"} 4\n",
           "steno_packet_files{indexed=\"false\"} 1\n",
           "steno_oldest_packet_timestamp_seconds 1767225600.5\n",
           "steno_capture_up{interface=\"eth7\"} 1\n",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST_F(MetricsTest, ThreadsAreNumberedOverAllInterfaces) {
  CaptureState second;
  second.interface = "eth8";
  second.first_slot = 2;
  second.arenas.push_back(std::make_shared<const Arena>(std::move(*Arena::Create(2))));
  second.arenas[0]->counters().nic_drops = 6;
  const std::string page = MetricsPage(stats_, {}, {capture_, second});
  EXPECT_THAT(page, HasSubstr("steno_disk_trouble{interface=\"eth7\",thread=\"1\"} 0\n"
                              "steno_disk_trouble{interface=\"eth8\",thread=\"2\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("steno_capture_up{interface=\"eth8\"} 0\n"));
  EXPECT_THAT(page, HasSubstr("{interface=\"eth8\",counter=\"rx_missed_errors\"} 6\n"));
}

TEST_F(MetricsTest, QueriesAreCountedOnce) {
  stats_.queries_completed = 10;
  stats_.queries_cut = 3;
  stats_.queries_refused = 2;
  const std::string page = Page();
  EXPECT_THAT(page, HasSubstr("steno_queries_total{result=\"complete\"} 7\n"));
  EXPECT_THAT(page, HasSubstr("steno_queries_total{result=\"cut\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("steno_queries_total{result=\"refused\"} 2\n"));
}

TEST_F(MetricsTest, BucketsOfWritesAddUp) {
  CaptureCounters& counters = capture_.arenas[0]->counters();
  counters.write_latency[0] = 5;
  counters.write_latency[3] = 2;
  counters.write_latency.back() = 1;
  counters.write_latency_sum_ns = 7 * kNsPerSecond;
  const std::string page = Page();
  const std::string name = "steno_write_duration_seconds";
  EXPECT_THAT(page, HasSubstr(name + "_bucket{interface=\"eth7\",thread=\"0\",le=\"0.00025\"} 5\n"));
  EXPECT_THAT(page, HasSubstr(name + "_bucket{interface=\"eth7\",thread=\"0\",le=\"0.0025\"} 7\n"));
  EXPECT_THAT(page, HasSubstr(name + "_bucket{interface=\"eth7\",thread=\"0\",le=\"+Inf\"} 8\n"));
  EXPECT_THAT(page, HasSubstr(name + "_count{interface=\"eth7\",thread=\"0\"} 8\n"));
  EXPECT_THAT(page, HasSubstr(name + "_sum{interface=\"eth7\",thread=\"0\"} 7\n"));
}

TEST_F(MetricsTest, DurationsOfQueriesAreCountedByBound) {
  stats_.query_durations.Add(kNsPerMs);
  stats_.query_durations.Add(3 * kNsPerMs);
  stats_.query_durations.Add(901 * kNsPerSecond);
  stats_.query_nanos = 901'004'000'000;
  const std::string page = Page();
  for (const char* line : {
           "steno_query_duration_seconds_bucket{le=\"0.001\"} 1\n",
           "steno_query_duration_seconds_bucket{le=\"0.005\"} 2\n",
           "steno_query_duration_seconds_bucket{le=\"900\"} 2\n",
           "steno_query_duration_seconds_bucket{le=\"+Inf\"} 3\n",
           "steno_query_duration_seconds_sum 901.004\n",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST_F(MetricsTest, ShowsWhatTheProcessUses) {
  const std::string page = Page();
  for (const char* name : {"process_cpu_seconds_total ", "process_resident_memory_bytes ",
                           "process_start_time_seconds ", "process_open_fds ", "steno_build_info{version="}) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + name));
  }
  const double started = std::stod(page.substr(page.find("\nprocess_start_time_seconds ") + 28));
  const double now = static_cast<double>(WallNs()) / 1e9;
  EXPECT_LE(started, now + 1);
  EXPECT_GT(started, now - 86400);
}

// Prometheus' own judgement of format, names and help texts.
TEST_F(MetricsTest, PromtoolHasNothingToSay) {
  if (std::system("command -v promtool > /dev/null") != 0) GTEST_SKIP() << "promtool is not installed";
  const testing::TempDir dir;
  const std::string file = dir.path() + "/metrics";
  std::ofstream(file) << Page();
  const std::string said = dir.path() + "/said";
  const int status = std::system(("promtool check metrics < " + file + " > " + said + " 2>&1").c_str());
  std::ifstream in(said);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  EXPECT_EQ(status, 0) << text;
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace steno
