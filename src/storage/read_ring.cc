#include "storage/read_ring.h"

#include <cerrno>

#include "base/clock.h"

namespace steno {

Result<std::unique_ptr<ReadRing>> ReadRing::Make(unsigned depth) {
  std::unique_ptr<ReadRing> made(new ReadRing);
  int error = 0;
  for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0u}) {
    error = io_uring_queue_init(depth, &made->ring_, flags);
    made->ready_ = error == 0;
    if (made->ready_) return made;
    if (error != -EINVAL) break;  // EINVAL: a kernel before 6.1 does not know the flags
  }
  return Fail(Error::System("io_uring_setup", -error));
}

ReadRing::~ReadRing() {
  if (!ready_) return;
  // What the kernel does not even take cannot be waited for.
  while (under_way_ > io_uring_sq_ready(&ring_)) Wait(kNsPerSecond, [](uint64_t, int) {});
  io_uring_queue_exit(&ring_);
}

void ReadRing::Prepare(int fd, std::span<uint8_t> bytes, uint64_t offset, uint64_t token) {
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);  // never null: there are as many as reads at a time
  io_uring_prep_read(sqe, fd, bytes.data(), static_cast<unsigned>(bytes.size()), offset);
  io_uring_sqe_set_data64(sqe, token);
  ++under_way_;
}

void ReadRing::Start() {
  // What the kernel is too short of memory to take now stays prepared, and is offered again by the next wait.
  if (io_uring_sq_ready(&ring_) > 0) io_uring_submit(&ring_);
}

void ReadRing::Wait(int64_t most_ns, const OnEnd& on_end) {
  __kernel_timespec most{.tv_sec = most_ns / kNsPerSecond, .tv_nsec = most_ns % kNsPerSecond};
  io_uring_cqe* cqe = nullptr;
  io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &most, nullptr);
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    const uint64_t token = io_uring_cqe_get_data64(cqe);
    if (token == LIBURING_UDATA_TIMEOUT) continue;  // the wait's own, on kernels before 5.11
    --under_way_;
    on_end(token, cqe->res);
  }
  io_uring_cq_advance(&ring_, seen);
}

}  // namespace steno
