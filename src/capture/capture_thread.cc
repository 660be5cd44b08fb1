// One turn of the loop: reap finished writes and return their blocks, take what the kernel has handed over,
// do what is due, wait. A block that cannot be written now (no file is ready, too many writes are in flight)
// stays in the ring and is offered again in the next turn: the ring is the buffer, and what it cannot hold
// the kernel counts as drops.
//
// The ring is watched edge-triggered: a level-triggered poll returns at once, again and again, while the
// block that was retired last is held for its write. Hence every turn takes blocks until there is none.
#include "capture/capture_thread.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "capture/counter.h"
#include "capture/ring_block.h"
#include "index/packet_scout.h"

namespace steno {
namespace {

constexpr unsigned kBlocksPerTurn = 64;
constexpr size_t kReapBatch = 32;
constexpr int64_t kLongestGatherNs = 50 * kNsPerMs;
constexpr int64_t kRetryNs = 20 * kNsPerMs;
constexpr int64_t kNoFileGraceNs = 1500 * kNsPerMs;
constexpr int64_t kLastWritesNs = 30 * kNsPerSecond;

// A burst as fast as 8 bytes/ns, faster than a core of the kernel fills a ring, takes half the ring
// meanwhile.
int64_t GatherNs(const PacketSource& source) {
  return std::min(static_cast<int64_t>(source.memory().size() / 16), kLongestGatherNs);
}

// In this time a disk that takes 8 bytes/ns writes half of a full queue, and has enough left to do.
int64_t DrainNs(const PacketSource& source, unsigned queue_depth) {
  return std::min(static_cast<int64_t>(source.block_bytes()) * queue_depth / 16, kLongestGatherNs);
}

void PinToCpu(unsigned thread, int cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<unsigned>(cpu), &cpus);
  if (const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof cpus, &cpus); error != 0) {
    STENO_WARN("thread {}: {}", thread, Error::System(fmt::format("pin to CPU {}", cpu), error).message);
  }
}

}  // namespace

CaptureThread::CaptureThread(CaptureThreadOptions options, Parts parts)
    : options_(std::move(options)),
      source_(std::move(parts.source)),
      ring_(*source_),
      gatherer_(std::move(parts.gatherer)),
      engine_(std::move(parts.engine)),
      builder_(std::move(parts.builder)),
      arena_(parts.arena),
      limit_(parts.limit),
      on_event_(std::move(parts.on_event)),
      counters_(parts.arena.counters()),
      held_(ring_.block_count()),
      gather_ns_(GatherNs(ring_)),
      drain_ns_(DrainNs(ring_, options_.writer.queue_depth)) {}

CaptureThread::~CaptureThread() {
  Stop();
  Join();
}

Result<std::unique_ptr<CaptureThread>> CaptureThread::Create(CaptureThreadOptions options, Parts parts) {
  std::unique_ptr<CaptureThread> thread(new CaptureThread(std::move(options), std::move(parts)));
  STENO_CHECK_OK(thread->Init());
  return thread;
}

Status CaptureThread::Init() {
  const std::array<iovec, 2> memory{iovec{ring_.memory().data(), ring_.memory().size()},
                                    iovec{gatherer_.memory().data(), gatherer_.memory().size()}};
  engine_->RegisterMemory(memory);
  SetTo(counters_.ring_blocks_total, ring_.block_count());
  stop_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_fd_.valid()) return Fail(Error::System("eventfd"));
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return Fail(Error::System("epoll_create1"));
  STENO_CHECK_OK(Watch(ring_.fd()));
  STENO_CHECK_OK(Watch(engine_->event_fd()));
  return Watch(stop_fd_.get());
}

Status CaptureThread::Watch(int fd) {
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return Fail(Error::System("epoll_ctl"));
}

Status CaptureThread::Start(FilePreparer& preparer, SealingThread& sealing) {
  BlockWriterOptions writer = options_.writer;
  writer.slots = ring_.block_count() + kGatherBuffers;
  writer.enclosing_times = !writer.index && ring_.stamps_arrivals();
  writer_.emplace(std::move(writer), BlockWriterParts{*engine_, preparer, sealing, builder_, arena_});
  STENO_CHECK_OK(ring_.OpenGate());
  SetTo(counters_.started_ns, static_cast<uint64_t>(WallNs()));
  thread_ = std::thread([this] { Run(); });
  return {};
}

void CaptureThread::Stop() {
  const uint64_t one = 1;
  if (stop_fd_.valid()) static_cast<void>(!::write(stop_fd_.get(), &one, sizeof one));
}

void CaptureThread::Join() {
  if (thread_.joinable()) thread_.join();
}

void CaptureThread::Run() {
  ::pthread_setname_np(::pthread_self(), fmt::format("capture-{}", options_.writer.thread).c_str());
  if (options_.cpu >= 0) PinToCpu(options_.writer.thread, options_.cpu);
  while (true) {
    const bool more = Turn();
    if (Finished()) break;
    Wait(more);
  }
  ReadStatistics();
  if (outcome_) outcome_ = ring_.outcome();
  writer_.reset();
  engine_.reset();  // belongs to this thread; waits for its last writes
  ended_.store(true, std::memory_order_release);
  on_event_();
}

// True if blocks are left that could be taken at once.
bool CaptureThread::Turn() {
  now_ns_ = MonotonicNs();
  SetTo(counters_.heartbeat_ns, static_cast<uint64_t>(now_ns_));
  ReapWrites();
  const uint64_t blocks_before = ValueOf(counters_.blocks);
  const bool more = !flushed_ && TakeBlocks();
  if (ValueOf(counters_.blocks) != blocks_before) {
    busy_link_ = now_ns_ - took_ns_ <= 2 * gather_ns_;
    took_ns_ = now_ns_;
  } else {
    busy_link_ = false;
  }
  if (!gatherer_.empty() && now_ns_ - gatherer_.oldest_ns() >= options_.gather_age_ns)
    blocked_ |= !FlushGathered();
  writer_->Tick(now_ns_);
  if (now_ns_ >= second_ns_) EverySecond();
  SetTo(counters_.ring_blocks_used, held_count_ + (blocked_ || more ? WaitingBlocks() : 0));
  return more;
}

void CaptureThread::ReapWrites() {
  std::array<uint32_t, kReapBatch> slots;
  while (const size_t count = writer_->Reap(slots, now_ns_)) {
    for (size_t i = 0; i < count; ++i) {
      if (slots[i] >= ring_.block_count()) {
        gatherer_.Release(slots[i] - ring_.block_count());
      } else {
        ReleaseBlock(slots[i]);
      }
    }
  }
}

void CaptureThread::ReleaseBlock(uint32_t block) {
  held_[block] = 0;
  --held_count_;
  ring_.Return(block);
}

// True if there may be more.
bool CaptureThread::TakeBlocks() {
  blocked_ = false;
  for (unsigned taken = 0; taken < kBlocksPerTurn && !blocked_;) {
    // Those that will have to wait are not walked in vain.
    const uint32_t announced = LookAhead(std::clamp<uint32_t>(writer_->room(), 1, PacketScout::kMaxBlocks));
    if (announced == 0) return false;
    engine_->BeginBatch();
    taken += TakeAnnounced(announced);
    engine_->EndBatch();
  }
  return !blocked_;
}

// Takes `count` blocks from next_ on, or fewer if one must wait; returns how many.
uint32_t CaptureThread::TakeAnnounced(uint32_t count) {
  for (uint32_t taken = 0; taken < count; ++taken) {
    if (!TakeBlock(next_)) {
      blocked_ = true;
      return taken;
    }
    head_taken_ = false;
    next_ = next_ + 1 == ring_.block_count() ? 0 : next_ + 1;
  }
  return count;
}

// Announces the blocks from next_ on that are there, `most` at most; returns how many.
uint32_t CaptureThread::LookAhead(uint32_t most) {
  std::array<std::span<const uint8_t>, PacketScout::kMaxBlocks> blocks;
  uint32_t count = 0;
  for (uint32_t block = next_; count < std::min(most, ring_.block_count()) && HandedOver(block);) {
    const auto memory = ring_.Block(block);
    blocks[count++] = memory.first(std::min<size_t>(ReadKernelHeader(memory).used_bytes, memory.size()));
    block = block + 1 == ring_.block_count() ? 0 : block + 1;
  }
  if (count > 0) writer_->LookAhead(std::span(blocks).first(count));
  return count;
}

// False if the block must wait.
bool CaptureThread::TakeBlock(uint32_t block) {
  if (!head_taken_ && !TakeHead(block)) {
    ring_.Return(block);
    return true;
  }
  const uint32_t used_bytes = ReadKernelHeader(ring_.Block(block)).used_bytes;
  const bool small = used_bytes < kGatherBelowBytes;
  if (small && Gather(block, used_bytes)) return true;
  // What was gathered is older and goes first.
  if (!FlushGathered()) return false;
  if (small && Gather(block, used_bytes)) return true;
  return WriteRingBlock(block);
}

bool CaptureThread::Gather(uint32_t block, uint32_t used_bytes) {
  const BlockOrigin origin = ring_.Origin(block);
  if (!gatherer_.empty() && origin.interface_index != gathered_origin_.interface_index) return false;
  if (!gatherer_.Add(ring_.Block(block).first(used_bytes), now_ns_)) return false;
  gathered_origin_ = origin;
  ring_.Return(block);
  return true;
}

// What is done once per block, however often it has to wait. False if nothing of it is to be recorded.
bool CaptureThread::TakeHead(uint32_t block) {
  const auto memory = ring_.Block(block);
  const KernelBlockHeader header = ReadKernelHeader(memory);
  if (ring_.Losing(block)) ReadStatistics();
  AddTo(counters_.blocks);
  SetTo(counters_.last_packet_ns, static_cast<uint64_t>(LastNs(header)));
  if (options_.stats_blocks > 0) LogBlockFill(header.used_bytes);
  const uint32_t admitted = limit_.Admit(header.packet_count);
  if (admitted < header.packet_count && admitted > 0) TruncateBlock(memory, admitted);
  if (limit_.reached()) on_event_();
  head_taken_ = true;
  return admitted > 0;
}

bool CaptureThread::FlushGathered() {
  if (gatherer_.empty()) return true;
  const BlockWriter::Block block{.memory = gatherer_.Filled(),
                                 .slot = ring_.block_count() + gatherer_.filled_buffer(),
                                 .flags = kBlockGathered,
                                 .drops_total = ValueOf(counters_.ring_drops),
                                 .origin = gathered_origin_};
  if (!writer_->Write(block, now_ns_)) return false;
  gatherer_.Detach();
  return true;
}

bool CaptureThread::WriteRingBlock(uint32_t block) {
  const BlockWriter::Block ring_block{.memory = ring_.Block(block),
                                      .slot = block,
                                      .flags = 0,
                                      .drops_total = ValueOf(counters_.ring_drops),
                                      .origin = ring_.Origin(block)};
  if (!writer_->Write(ring_block, now_ns_)) return false;
  held_[block] = 1;
  ++held_count_;
  return true;
}

void CaptureThread::ReadStatistics() {
  const auto statistics = ring_.ReadStatistics();
  if (!statistics) {
    if (statistics_log_.Allow(now_ns_))
      STENO_WARN("thread {}: {}", options_.writer.thread, statistics.error().message);
    return;
  }
  AddTo(counters_.ring_drops, statistics->drops);
  AddTo(counters_.ring_freezes, statistics->freezes);
  AddTo(counters_.skipped_packets, statistics->skipped);
}

void CaptureThread::EverySecond() {
  second_ns_ = now_ns_ + kNsPerSecond;
  ReadStatistics();
  const uint64_t drops = ValueOf(counters_.ring_drops);
  SetTo(counters_.ring_drops_second, drops - std::exchange(second_drops_, drops));
  writer_->EverySecond(now_ns_);
  CheckSource();
}

void CaptureThread::CheckSource() {
  bool lost = false;
  if (const Status checked = ring_.Check(lost); !checked && stop_ns_ == 0) {
    outcome_ = checked;  // end cleanly, to be started again
    BeginStop();
  }
  if (lost && source_log_.Allow(now_ns_)) {
    STENO_WARN("thread {}: {} is gone; waiting for it", options_.writer.thread, options_.source_name);
  } else if (source_lost_ && !lost) {
    STENO_INFO("thread {}: {} is back", options_.writer.thread, options_.source_name);
  }
  source_lost_ = lost;
  SetTo(counters_.source_lost, lost ? 1 : 0);
}

void CaptureThread::LogBlockFill(uint32_t used_bytes) {
  fill_bytes_ += used_bytes;
  if (++fill_blocks_ < options_.stats_blocks) return;
  STENO_DEBUG("thread {}: the last {} blocks were {} % full", options_.writer.thread, fill_blocks_,
              100 * fill_bytes_ / (fill_blocks_ * ring_.block_bytes()));
  fill_blocks_ = fill_bytes_ = 0;
}

void CaptureThread::BeginStop() {
  if (stop_ns_ != 0) return;
  stop_ns_ = now_ns_;
  if (const Status closed = ring_.CloseGate(); !closed) {
    STENO_WARN("thread {}: {}", options_.writer.thread, closed.error().message);
  }
}

bool CaptureThread::Finished() {
  // In this order: no block comes after a source is exhausted.
  const bool exhausted = ring_.exhausted();
  const bool ring_empty = !HandedOver(next_);
  // A source that ends by itself waits for a slow disk: only who asks for a stop has no time.
  if (stop_ns_ == 0 && exhausted && ring_empty && FlushGathered()) BeginStop();
  if (stop_ns_ == 0) return false;
  if (!flushed_) {
    const bool over = (exhausted || now_ns_ >= stop_ns_ + ring_.last_block_ns()) && ring_empty;
    if (over && FlushGathered()) {
      flushed_ = true;
    } else if ((now_ns_ >= stop_ns_ + kNoFileGraceNs && blocked_ && engine_->in_flight() == 0) ||
               now_ns_ >= stop_ns_ + kLastWritesNs) {
      GiveUpRing();
      flushed_ = true;
    }
    if (flushed_) writer_->CloseFile();
  }
  if (!flushed_ || writer_->idle()) return flushed_;
  if (now_ns_ < stop_ns_ + kLastWritesNs) return false;
  STENO_ERROR("thread {}: {} writes did not end; their file stays hidden", options_.writer.thread,
              engine_->in_flight());
  return true;
}

// There is no place for what is left in memory.
void CaptureThread::GiveUpRing() {
  uint64_t packets = gatherer_.empty() ? 0 : ReadKernelHeader(gatherer_.Filled()).packet_count;
  for (; HandedOver(next_); next_ = (next_ + 1) % ring_.block_count()) {
    packets += ReadKernelHeader(ring_.Block(next_)).packet_count;
    ring_.Return(next_);
  }
  AddTo(counters_.write_error_drops, packets);
  STENO_ERROR("thread {}: no file could be made for the last {} packets; they are lost",
              options_.writer.thread, packets);
}

uint32_t CaptureThread::WaitingBlocks() const {
  // From next_ on: blocks that wait, then blocks that the kernel has, then blocks in flight.
  uint32_t waiting = 0;
  uint32_t beyond = ring_.block_count() + 1;
  while (beyond - waiting > 1) {
    const uint32_t middle = waiting + (beyond - waiting) / 2;
    const uint32_t block = (next_ + middle - 1) % ring_.block_count();
    (HandedOver(block) ? waiting : beyond) = middle;
  }
  return waiting;
}

int CaptureThread::TimeoutMs() const {
  int64_t due = std::min(second_ns_, writer_->rotation_ns());
  if (!gatherer_.empty() && !blocked_) due = std::min(due, gatherer_.oldest_ns() + options_.gather_age_ns);
  if (blocked_ || writer_->handing_over() || stop_ns_ != 0) due = std::min(due, now_ns_ + kRetryNs);
  // Rounded up: waking just before the time would cost a second turn.
  return static_cast<int>(std::clamp<int64_t>((due - now_ns_ + kNsPerMs - 1) / kNsPerMs, 0, 1000));
}

// On a busy link blocks are left to gather for a moment, away from the ring's wake-ups: one per block, each
// dearer than what it wakes us for, for the core that receives as well. A full queue of writes is left to
// drain in the same way.
int64_t CaptureThread::PauseNs(bool more) const {
  if (stop_ns_ != 0 || more) return 0;
  if (blocked_) return writer_->room() == 0 ? drain_ns_ : 0;
  return busy_link_ ? gather_ns_ : 0;
}

void CaptureThread::Wait(bool more) {
  const int64_t pause_ns = PauseNs(more);
  if (pause_ns > 0) {
    const timespec pause{.tv_sec = 0, .tv_nsec = pause_ns};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
  std::array<epoll_event, 3> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 more || pause_ns > 0 ? 0 : TimeoutMs());
  AddTo(counters_.wakeups);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.fd == stop_fd_.get()) {
      now_ns_ = MonotonicNs();
      BeginStop();
    } else if (event.data.fd == ring_.fd() && (event.events & EPOLLERR) != 0) {
      CheckSource();
    }
  }
}

}  // namespace steno
