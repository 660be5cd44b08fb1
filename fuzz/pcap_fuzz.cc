// pcap and pcapng files: any bytes give packets within the limits, then an end or an error that names the
// input.
//
// Links: steno_pcap
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "base/check.h"
#include "pcap/pcap_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  steno::UniqueFd fd(::memfd_create("pcap_fuzz", MFD_CLOEXEC));
  STENO_CHECK(fd.valid());
  STENO_CHECK(::pwrite(fd.get(), data, size, 0) == static_cast<ssize_t>(size));
  auto reader = steno::OpenPcapFd(std::move(fd), "input");
  if (!reader.has_value()) {
    STENO_CHECK(reader.error().message.starts_with("input: "));
    return 0;
  }
  size_t total = 0;
  uint64_t sum = 0;
  while (true) {
    const auto packet = (*reader)->Next();
    if (!packet.has_value()) {
      STENO_CHECK(packet.error().message.starts_with("input: "));
      break;
    }
    if (*packet == nullptr) break;
    STENO_CHECK((*packet)->frame.size() <= 256 << 10);
    total += (*packet)->frame.size();
    for (const uint8_t byte : (*packet)->frame) sum += byte;  // the sanitizer sees every byte touched
  }
  STENO_CHECK(total <= size && sum <= total * 255);
  return 0;
}
