// replay: sends the Ethernet packets of capture files out of an interface, at a rate, and says what was sent.
//
//   replay IFACE FILE... [--pps N] [--loops N] [--stamp] [--write-sent FILE.pcap]
//
// Nothing is lost without a word: what the link cannot carry is counted by reason, and what the driver has no
// room for is sent again. The report is one line of JSON.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pcap/pcap_reader.h"
#include "pcap/pcap_writer.h"

namespace {

using namespace steno;

constexpr size_t kMaxBatch = 64;
constexpr size_t kStampBytes = 8;
constexpr size_t kMinStampedFrame = 62;  // Ethernet, IPv4, TCP without options, and the stamp
constexpr size_t kWriteBytes = 1 << 20;
constexpr int kSendBufferBytes = 8 << 20;
constexpr int64_t kSpinNs = 20'000;  // sleeping is no more exact than this
constexpr uint16_t kLinkTypeEthernet = 1;

struct Options {
  std::string interface;
  std::vector<std::string> files;
  uint64_t packets_per_second = 0;  // 0: as fast as it goes
  uint64_t loops = 1;
  bool stamp = false;  // the last 8 bytes of a frame become its number, big-endian
  std::string write_sent;
};

struct Report {
  uint64_t sent = 0;
  uint64_t bytes = 0;
  uint64_t too_short = 0;
  uint64_t too_long = 0;
  uint64_t not_ethernet = 0;
  uint64_t damaged_files = 0;  // read up to the damage
  uint64_t retries = 0;        // the driver had no room

  [[nodiscard]] std::string Json(double seconds) const {
    return fmt::format(
        R"({{"sent": {}, "bytes": {}, "skipped": {}, "too_short": {}, "too_long": {}, "not_ethernet": {}, )"
        R"("damaged_files": {}, "retries": {}, "seconds": {:.6f}}})",
        sent, bytes, too_short + too_long + not_ethernet, too_short, too_long, not_ethernet, damaged_files,
        retries, seconds);
  }
};

// A raw socket that sends from one interface and receives nothing.
class Link {
 public:
  static Result<Link> Open(const std::string& name) {
    Link link;
    link.socket_.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!link.socket_.valid()) return Fail(Error::System("packet socket"));
    const int fd = link.socket_.get();
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
    if (address.sll_ifindex == 0) return Fail(Error::System(name));
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return Fail(Error::System("bind to " + name));
    }
    const int one = 1;
    ::setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);  // only faster
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof kSendBufferBytes);
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(fd, SIOCGIFMTU, &request) != 0) return Fail(Error::System("MTU of " + name));
    link.mtu_ = static_cast<size_t>(request.ifr_mtu);
    return link;
  }

  // The kernel takes frames of the MTU and a header, and of one 802.1Q tag more (af_packet.c, packet_snd()).
  [[nodiscard]] bool Carries(std::span<const uint8_t> frame) const {
    const bool tagged = frame.size() >= ETH_HLEN && LoadBe<uint16_t>(frame.data() + 12) == ETH_P_8021Q;
    return frame.size() <= mtu_ + ETH_HLEN + (tagged ? 4 : 0);
  }

  // Sends all of the frames, in order.
  Status Send(std::span<iovec> frames, uint64_t& retries) const {
    std::array<mmsghdr, kMaxBatch> messages{};
    for (size_t i = 0; i < frames.size(); ++i) {
      messages[i].msg_hdr.msg_iov = &frames[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (size_t done = 0; done < frames.size();) {
      const int sent =
          ::sendmmsg(socket_.get(), &messages[done], static_cast<unsigned>(frames.size() - done), 0);
      if (sent > 0) {
        done += static_cast<size_t>(sent);
      } else if (errno == ENOBUFS || errno == EAGAIN) {
        ++retries;
        const timespec pause{0, 20'000};
        ::nanosleep(&pause, nullptr);
      } else if (errno != EINTR) {
        return Fail(Error::System(fmt::format("send a frame of {} bytes", frames[done].iov_len)));
      }
    }
    return {};
  }

 private:
  UniqueFd socket_;
  size_t mtu_ = 0;
};

// All frames to send, one after another in one buffer.
class Frames {
 public:
  Status Read(const std::string& path, const Link& link, Report& report) {
    STENO_TRY(const auto reader, OpenPcap(path));
    for (;;) {
      const auto packet = reader->Next();
      if (!packet) {
        fmt::print(stderr, "replay: {}\n", packet.error().message);
        ++report.damaged_files;
        return {};
      }
      if (*packet == nullptr) return {};
      Add(**packet, link, report);
    }
  }

  [[nodiscard]] size_t size() const { return ends_.size(); }
  [[nodiscard]] std::span<uint8_t> operator[](size_t i) {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

 private:
  void Add(const CapturedPacket& packet, const Link& link, Report& report) {
    if (packet.link_type != kLinkTypeEthernet) {
      ++report.not_ethernet;
    } else if (packet.frame.size() < ETH_HLEN) {
      ++report.too_short;
    } else if (!link.Carries(packet.frame)) {
      ++report.too_long;
    } else {
      bytes_.insert(bytes_.end(), packet.frame.begin(), packet.frame.end());
      ends_.push_back(bytes_.size());
    }
  }

  std::vector<uint8_t> bytes_;
  std::vector<size_t> ends_;
};

// The record of what was sent, with the times of sending. Does nothing without a path.
class SentFile {
 public:
  Status Open(const std::string& path) {
    path_ = path;
    if (path.empty()) return {};
    STENO_TRY(fd_, OpenFile(path, O_WRONLY | O_CREAT | O_TRUNC));
    AppendPcapFileHeader(buffer_, PcapResolution::kNanoseconds, kLinkTypeEthernet);
    return {};
  }

  Status Append(std::span<const iovec> frames, int64_t time_ns) {
    if (path_.empty()) return {};
    for (const iovec& frame : frames) {
      PcapRecord record;
      record.time_ns = time_ns;
      record.original_bytes = static_cast<uint32_t>(frame.iov_len);
      record.frame = {static_cast<const uint8_t*>(frame.iov_base), frame.iov_len};
      AppendPcapRecord(buffer_, PcapResolution::kNanoseconds, record);
    }
    return buffer_.size() < kWriteBytes ? Status{} : Flush();
  }

  Status Flush() {
    if (path_.empty()) return {};
    const std::span bytes(reinterpret_cast<const uint8_t*>(buffer_.data()), buffer_.size());
    STENO_CHECK_OK(WriteFully(fd_.get(), bytes, offset_, path_));
    offset_ += buffer_.size();
    buffer_.clear();
    return {};
  }

 private:
  std::string path_;
  UniqueFd fd_;
  std::string buffer_;
  uint64_t offset_ = 0;
};

void WaitUntil(int64_t monotonic_ns) {
  const int64_t wake = monotonic_ns - kSpinNs;
  if (MonotonicNs() < wake) {
    const timespec at{wake / kNsPerSecond, wake % kNsPerSecond};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) continue;
  }
  while (MonotonicNs() < monotonic_ns) continue;
}

Status SendAll(const Options& options, const Link& link, Frames& frames, SentFile& sent_file,
               Report& report) {
  const uint64_t pps = options.packets_per_second;
  // Batches of at most half a millisecond: the traffic stays smooth.
  const size_t batch_size = pps == 0 ? kMaxBatch : std::clamp<size_t>(pps / 2000, 1, kMaxBatch);
  const int64_t start = MonotonicNs();
  std::vector<iovec> batch;
  for (uint64_t loop = 0; loop < options.loops; ++loop) {
    for (size_t i = 0; i < frames.size();) {
      batch.clear();
      for (; i < frames.size() && batch.size() < batch_size; ++i) {
        const std::span<uint8_t> frame = frames[i];
        if (options.stamp && frame.size() >= kMinStampedFrame) {
          StoreBe<uint64_t>(frame.data() + frame.size() - kStampBytes, report.sent + batch.size());
        }
        batch.push_back({frame.data(), frame.size()});
        report.bytes += frame.size();
      }
      if (pps != 0) {
        WaitUntil(start +
                  static_cast<int64_t>(static_cast<double>(report.sent) * 1e9 / static_cast<double>(pps)));
      }
      const int64_t now = WallNs();
      STENO_CHECK_OK(link.Send(batch, report.retries));
      STENO_CHECK_OK(sent_file.Append(batch, now));
      report.sent += batch.size();
    }
  }
  return sent_file.Flush();
}

Status Run(const Options& options) {
  Report report;
  STENO_TRY(const Link link, Link::Open(options.interface));
  Frames frames;
  for (const std::string& path : options.files) STENO_CHECK_OK(frames.Read(path, link, report));
  SentFile sent_file;
  STENO_CHECK_OK(sent_file.Open(options.write_sent));
  const int64_t start = MonotonicNs();
  STENO_CHECK_OK(SendAll(options, link, frames, sent_file, report));
  fmt::print("{}\n", report.Json(static_cast<double>(MonotonicNs() - start) / 1e9));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Sends the Ethernet packets of capture files out of an interface.", "replay");
  app.add_option("IFACE", options.interface, "Interface to send from")->required();
  app.add_option("FILE", options.files, "pcap or pcapng files")->required();
  app.add_option("--pps", options.packets_per_second, "Packets per second; 0: as fast as possible");
  app.add_option("--loops", options.loops, "How often to send all files");
  app.add_flag("--stamp", options.stamp,
               "Number the packets in the last 8 bytes of those of 62 bytes and more");
  app.add_option("--write-sent", options.write_sent, "Record what was sent here (pcap, ns)");
  CLI11_PARSE(app, argc, argv);
  const Status status = Run(options);
  if (!status) fmt::print(stderr, "replay: {}\n", status.error().message);
  return status ? 0 : 1;
}
