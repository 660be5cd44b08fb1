#include "capture/block_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "capture/counter.h"
#include "storage/packet_file.h"

namespace steno {
namespace {

constexpr size_t kReapBatch = 32;

void SetState(const SegmentMemory& segment, SegmentState state) {
  segment.header->state.store(static_cast<uint32_t>(state), std::memory_order_release);
}

}  // namespace

BlockWriter::BlockWriter(BlockWriterOptions options, BlockWriterParts parts)
    : options_(std::move(options)),
      parts_(parts),
      counters_(parts.arena.counters()),
      in_flight_(options_.slots),
      trouble_(options_.thread, options_.directory, counters_) {
  for (File& file : files_) file.records = std::make_unique_for_overwrite<Record[]>(kSegmentMaxBlocks);
}

bool BlockWriter::Write(const Block& block, int64_t now_ns) {
  const KernelBlockHeader kernel = ReadKernelHeader(block.memory);
  const uint64_t disk_bytes = AlignUp(kernel.used_bytes, kDiskAlignment);
  STENO_CHECK(kernel.used_bytes >= kFirstPacketOffset && disk_bytes <= block.memory.size());
  const unsigned in_flight = parts_.engine.in_flight();
  if (room() == 0 || !trouble_.MayWrite(in_flight, now_ns)) return false;
  if (!EnsureFile(block, disk_bytes, now_ns)) return false;
  if (in_flight == 0) progress_ns_ = now_ns;

  const uint64_t drops = block.drops_total - drops_written_;
  const auto index_drops = static_cast<uint32_t>(std::min<uint64_t>(drops, UINT32_MAX));
  const bool unindexed = IndexIsMissing();
  if (unindexed) AddTo(counters_.unindexed_blocks);
  const uint32_t flows_before = parts_.builder.flow_count();
  const auto used = block.memory.first(kernel.used_bytes);
  const bool enclosing = options_.enclosing_times && (block.flags & kBlockGathered) == 0;
  const BlockSummary summary =
      enclosing ? EnclosingSummary(used) : parts_.builder.AddBlock(used, current_->end, index_drops);
  AddTo(counters_.flows, parts_.builder.flow_count() - flows_before);
  AddTo(counters_.packets, summary.packets);
  AddTo(counters_.bytes, summary.captured_bytes);

  FillHeader(block, disk_bytes, summary, block.flags | (enclosing ? kBlockEnclosingTimes : 0u));
  drops_written_ = block.drops_total;
  // Ring memory still holds packets of earlier rounds there.
  std::memset(block.memory.data() + kernel.used_bytes, 0, disk_bytes - kernel.used_bytes);
  Submit(block, disk_bytes, summary.packets);

  if (parts_.builder.full() && !unindexed) AddTo(counters_.index_full);
  if (CanBeIndexedAgain()) CloseFile();
  return true;
}

unsigned BlockWriter::room() const {
  const unsigned queue = options_.queue_depth - std::min(parts_.engine.in_flight(), options_.queue_depth);
  const bool waits = waiting_ns_ != 0 || trouble_.lasting();
  return waits ? std::min(queue, 1u) : queue;
}

bool BlockWriter::EnsureFile(const Block& block, uint64_t disk_bytes, int64_t now_ns) {
  if (current_ != nullptr &&
      (current_->damaged || current_->end + disk_bytes > current_->limit ||
       current_->blocks == kSegmentMaxBlocks || now_ns >= rotation_ns() || CanBeIndexedAgain())) {
    CloseFile();
  }
  if (current_ == nullptr && !OpenNextFile(block, now_ns)) {
    NoteNoFile(now_ns);
    return false;
  }
  waiting_ns_ = 0;
  return true;
}

void BlockWriter::NoteNoFile(int64_t now_ns) {
  if (waiting_ns_ == 0) waiting_ns_ = now_ns;
  const int error = parts_.preparer.last_errno(options_.preparer_slot);
  if (error != 0) {
    trouble_.Failed(error, "make a packet file", waiting_ns_, now_ns);
  } else if (!options_.patient && now_ns - waiting_ns_ > kDiskStallNs) {
    trouble_.Failed(kDiskStalled, "make a packet file", waiting_ns_, now_ns);
  }
}

// True if the next block of the current file gets into no index: its segment is full, or it had to begin
// without one.
bool BlockWriter::IndexIsMissing() const { return current_->segment == nullptr || parts_.builder.full(); }

// Until then blocks are left to the file whose segment is full. In the segment they are seen, and queries
// read them whole; what is written without a segment is seen when its file is published, no earlier.
bool BlockWriter::CanBeIndexedAgain() const {
  return options_.index && IndexIsMissing() && (options_.patient || FreeSegment() != nullptr);
}

bool BlockWriter::OpenNextFile(const Block& block, int64_t now_ns) {
  const auto unused = std::find_if(files_.begin(), files_.end(),
                                   [](const File& file) { return file.state == FileState::kUnused; });
  if (unused == files_.end()) return false;
  const SegmentMemory* const segment = FreeSegment();
  if (segment == nullptr && options_.index && options_.patient) return false;
  std::unique_ptr<OutputFile> output = parts_.preparer.TryTake(options_.preparer_slot);
  SetTo(counters_.prepare_failures, parts_.preparer.failures(options_.preparer_slot));
  if (!output) return false;

  // Named after its first packet. Threads may share a directory: each has its own residue.
  const auto time_us = static_cast<uint64_t>(FirstPacketNs(block.memory) / kNsPerUs);
  File& file = *unused;
  file.state = FileState::kOpen;
  file.damaged = file.counted = false;
  file.id = time_us - time_us % options_.threads + options_.thread;
  if (file.id == 0) file.id = options_.threads;  // no name is "0"
  file.limit = options_.extend ? options_.file_bytes : std::min(options_.file_bytes, output->allocated_bytes);
  file.end = file.good_end = 0;
  file.blocks = file.good_blocks = 0;
  file.good_packets = 0;
  file.segment = segment;
  file.opened_ns = now_ns;
  if (file.segment != nullptr) file.segment->Reset(file.id, output->file_tag, output->hidden_name);
  parts_.builder.Begin(file.segment);
  parts_.sealing.Watch(output.get());
  if (!output->direct && !std::exchange(told_buffered_, true)) {
    STENO_WARN("thread {}: {} takes no direct I/O (O_DIRECT): writing through the page cache",
               options_.thread, options_.directory);
  }
  STENO_DEBUG("thread {}: writing {}/{} ({} MiB, {}), to be named {}", options_.thread, output->directory,
              output->hidden_name, file.limit >> 20, output->direct ? "O_DIRECT" : "buffered", file.id);
  file.output = std::move(output);
  current_ = &file;
  return true;
}

const SegmentMemory* BlockWriter::FreeSegment() const {
  if (!options_.index) return nullptr;
  for (unsigned index = 0; index < kArenaSegments; ++index) {
    const SegmentMemory& segment = parts_.arena.segment(index);
    const uint32_t state = segment.header->state.load(std::memory_order_acquire);
    if (state == static_cast<uint32_t>(SegmentState::kFree)) return &segment;
  }
  return nullptr;
}

// The segment that is filled while `segment` is being sealed.
const SegmentMemory* BlockWriter::OtherSegment(const SegmentMemory* segment) const {
  static_assert(kArenaSegments == 2);
  if (segment == nullptr) return nullptr;
  return &parts_.arena.segment(segment == &parts_.arena.segment(0) ? 1 : 0);
}

void BlockWriter::FillHeader(const Block& block, uint64_t disk_bytes, const BlockSummary& summary,
                             uint32_t flags) {
  const KernelBlockHeader kernel = ReadKernelHeader(block.memory);
  BlockHeader header{};
  header.magic = kBlockMagic;
  header.version = kBlockVersion;
  header.file_id = current_->id;
  header.file_tag = current_->output->file_tag;
  header.file_offset = current_->end;
  header.block_sequence = current_->blocks;
  header.first_ns = summary.first_ns;
  header.last_ns = summary.last_ns;
  header.packet_count = kernel.packet_count;
  header.used_bytes = kernel.used_bytes;
  header.disk_bytes = static_cast<uint32_t>(disk_bytes);
  header.flags = flags;
  header.drops = block.drops_total - drops_written_;
  header.drops_total = block.drops_total;
  header.interface_index = block.origin.interface_index;
  header.link_type = kLinkTypeEthernet;
  header.thread = static_cast<uint16_t>(options_.thread);
  header.snaplen = options_.snaplen;
  block.origin.name.copy(header.interface_name, sizeof(header.interface_name) - 1);
  SealBlockHeader(header);
  std::memcpy(block.memory.data() + kKernelHeaderBytes, &header, sizeof header);
}

void BlockWriter::Submit(const Block& block, uint64_t disk_bytes, uint32_t packets) {
  File& file = *current_;
  file.records[file.blocks] = {packets, static_cast<uint32_t>(disk_bytes), false};
  in_flight_[block.slot] = {&file, file.blocks};
  const uint64_t offset = file.end;
  ++file.blocks;
  ++file.in_flight;
  file.end += disk_bytes;
  const Status submitted =
      parts_.engine.SubmitWrite(file.output->fd.get(), block.memory.first(disk_bytes), offset, block.slot);
  // There was room for it, so this is a programmer's error: everything else is told by the completion.
  STENO_CHECK(submitted.has_value());
}

size_t BlockWriter::Reap(std::span<uint32_t> out, int64_t now_ns) {
  std::array<WriteCompletion, kReapBatch> done;
  const size_t count = parts_.engine.Reap(std::span(done).first(std::min(out.size(), done.size())));
  for (size_t i = 0; i < count; ++i) {
    Complete(done[i], now_ns);
    out[i] = static_cast<uint32_t>(done[i].token);
  }
  return count;
}

void BlockWriter::Complete(const WriteCompletion& completion, int64_t now_ns) {
  const InFlight& block = in_flight_[completion.token];
  File& file = *block.file;
  Record& record = file.records[block.block];
  --file.in_flight;
  progress_ns_ = now_ns;
  CountLatency(completion.latency_ns);
  if (completion.result == int64_t{record.disk_bytes}) {
    record.written = true;
    AddTo(counters_.disk_blocks);
    trouble_.Stored(now_ns);
  } else {
    file.damaged = true;
    NoteFailedWrite(file, record, completion.result, now_ns);
  }
  AdvanceGoodEnd(file);
  if (file.damaged && &file == current_) CloseFile();
  if (file.state == FileState::kDraining) HandOver(file);
}

void BlockWriter::CountLatency(int64_t latency_ns) {
  const auto latency = static_cast<uint64_t>(std::max<int64_t>(latency_ns, 0));
  if (latency > ValueOf(counters_.write_latency_max_ns)) SetTo(counters_.write_latency_max_ns, latency);
  AddTo(counters_.write_latency_sum_ns, latency);
  size_t bucket = 0;
  while (bucket < kLatencyBoundsNs.size() && latency_ns > kLatencyBoundsNs[bucket]) ++bucket;
  AddTo(counters_.write_latency[bucket]);
}

void BlockWriter::NoteFailedWrite(const File& file, const Record& record, int64_t result, int64_t now_ns) {
  AddTo(counters_.write_errors);
  const int error = result < 0 ? static_cast<int>(-result) : EIO;  // written in part
  trouble_.WriteFailed(
      error, fmt::format("write {} bytes to {}", record.disk_bytes, file.output->hidden_name), now_ns);
}

void BlockWriter::AdvanceGoodEnd(File& file) {
  const uint32_t before = file.good_blocks;
  while (file.good_blocks < file.blocks && file.records[file.good_blocks].written) {
    const Record& record = file.records[file.good_blocks++];
    file.good_end += record.disk_bytes;
    file.good_packets += record.packets;
    AddTo(counters_.stored_packets, record.packets);
    AddTo(counters_.stored_bytes, record.disk_bytes);
  }
  if (file.good_blocks == before) return;
  if (&file == current_) parts_.sealing.Written(file.good_end);
  if (file.segment == nullptr) return;
  // The builder is already at the next file when a draining one gets its last blocks.
  file.segment->header->published_blocks.store(file.good_blocks, std::memory_order_release);
}

void BlockWriter::CloseFile() {
  if (current_ == nullptr) return;
  File& file = *current_;
  current_ = nullptr;
  file.state = FileState::kDraining;
  ++draining_;
  parts_.sealing.Watch(nullptr);
  HandOver(file);
}

void BlockWriter::HandOver(File& file) {
  if (file.in_flight > 0) return;
  parts_.engine.ReleaseFile(file.output->fd.get());
  CountLostBlocks(file);
  if (file.segment != nullptr) SetState(*file.segment, SegmentState::kSealing);
  SealJob job{.file = std::move(file.output),
              .file_id = file.id,
              .used_bytes = file.good_end,
              .packets = file.good_packets,
              .segment = file.segment,
              .next = OtherSegment(file.segment)};
  if (!parts_.sealing.TryPush(job)) {
    file.output = std::move(job.file);
    return;
  }
  file.state = FileState::kUnused;
  --draining_;
}

void BlockWriter::CountLostBlocks(File& file) {
  if (std::exchange(file.counted, true)) return;
  for (uint32_t block = file.good_blocks; block < file.blocks; ++block) {
    AddTo(counters_.write_error_drops, file.records[block].packets);
  }
}

void BlockWriter::Tick(int64_t now_ns) {
  if (now_ns >= rotation_ns() ||
      (current_ != nullptr && (CanBeIndexedAgain() || parts_.sealing.WatchedIsRemoved()))) {
    CloseFile();
  }
  if (parts_.engine.in_flight() > 0 && now_ns - progress_ns_ > kDiskStallNs) {
    trouble_.Failed(kDiskStalled, "write", progress_ns_, now_ns);
  }
  if (draining_ == 0) return;
  for (File& file : files_) {
    if (file.state == FileState::kDraining) HandOver(file);
  }
}

int64_t BlockWriter::rotation_ns() const {
  return current_ == nullptr ? INT64_MAX : current_->opened_ns + options_.file_age_ns;
}

bool BlockWriter::idle() const { return current_ == nullptr && draining_ == 0; }

}  // namespace steno
