#include "storage/write_slots.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/clock.h"
#include "storage/block_format.h"

namespace steno {
namespace {

constexpr unsigned kMaxRetries = 1000;  // of EAGAIN and EINTR, which end by themselves

}  // namespace

WriteStep AdvanceWrite(WriteSlot& slot, int64_t reported, int64_t& result) {
  if (reported == -EAGAIN || reported == -EINTR) {
    if (slot.retries++ < kMaxRetries) return WriteStep::kAgain;
  }
  if (reported <= 0) {
    result = reported == 0 ? -EIO : reported;
    return WriteStep::kFinished;
  }
  const auto written = static_cast<size_t>(reported);
  if (written >= slot.rest_bytes()) {
    slot.done = slot.bytes;
    result = static_cast<int64_t>(slot.bytes);
    return WriteStep::kFinished;
  }
  // O_DIRECT wants an aligned rest, so part of an alignment unit is written again. Less than one unit is
  // taken as it is: the next try then tells what is wrong (ENOSPC, or EINVAL with O_DIRECT) and this cannot
  // go on for ever.
  const size_t aligned = written / kDiskAlignment * kDiskAlignment;
  slot.done += aligned > 0 ? aligned : written;
  return WriteStep::kAgain;
}

WriteSlots::WriteSlots(unsigned count) : slots_(count) {
  free_.reserve(count);
  refused_.reserve(count);
  for (unsigned i = count; i > 0; --i) free_.push_back(i - 1);
}

unsigned WriteSlots::Take(int fd, std::span<const uint8_t> bytes, uint64_t offset, uint64_t token) {
  STENO_CHECK(!free_.empty());
  const unsigned index = free_.back();
  free_.pop_back();
  WriteSlot& slot = slots_[index];
  slot = WriteSlot{};
  slot.token = token;
  slot.data = bytes.data();
  slot.bytes = bytes.size();
  slot.offset = offset;
  slot.submitted_ns = MonotonicNs();
  slot.fd = fd;
  return index;
}

WriteCompletion WriteSlots::Finish(unsigned index, int64_t result) {
  const WriteSlot& slot = slots_[index];
  const WriteCompletion completion{slot.token, result, MonotonicNs() - slot.submitted_ns};
  free_.push_back(index);
  return completion;
}

size_t WriteSlots::FinishRefused(std::span<WriteCompletion> out) {
  size_t count = 0;
  while (count < out.size() && !refused_.empty()) {
    const Refusal refusal = refused_.back();
    refused_.pop_back();
    out[count++] = Finish(refusal.index, -refusal.error);
  }
  return count;
}

Status QueueFull(unsigned depth) {
  return Fail(Error::Exhausted(fmt::format("{} writes are in flight", depth)));
}

Result<int> MakeEventFd() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return Fail(Error::System("eventfd"));
  return fd;
}

void SignalEventFd(int fd) {
  const uint64_t one = 1;
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void DrainEventFd(int fd) {
  uint64_t count = 0;
  while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace steno
