#include "index/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "index/block_summary.h"
#include "index/google_v2_gaps.h"
#include "index/google_v2_table.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "storage/packet_file.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

constexpr size_t kCompareBytes = 1 << 20;

// A directory of our own that goes with us.
class ScratchDirectory {
 public:
  static Result<ScratchDirectory> Make() {
    std::error_code error;
    std::string path = (std::filesystem::temp_directory_path(error) / "stenotype-verify-XXXXXX").string();
    if (error || ::mkdtemp(path.data()) == nullptr)
      return Fail(Error::System("make a directory for temporary files (TMPDIR)"));
    return ScratchDirectory(std::move(path));
  }
  ScratchDirectory(ScratchDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

void AddProblem(FileReport& report, std::string line) {
  if (report.problems.size() < kMaxReportLines) {
    report.problems.push_back(std::move(line));
  } else {
    ++report.more_problems;
  }
}

// What the packets of a block say against what its header says.
void CheckBlock(const PacketFile& file, const BlockEntry& entry, std::span<const uint8_t> bytes,
                FileReport& report) {
  const auto problem = [&](const std::string& what) {
    AddProblem(report, fmt::format("{}: block at byte {}: {}", file.path(), entry.file_offset, what));
  };
  KernelBlockHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.first_packet_offset < kKernelHeaderBytes || header.first_packet_offset > bytes.size()) {
    return problem(fmt::format("its first packet is at {}, expected {} to {}", header.first_packet_offset,
                               kKernelHeaderBytes, bytes.size()));
  }
  BlockSummary summary;
  PacketWalk walk(bytes, header.first_packet_offset, bytes.size(), entry.file_offset);
  while (const PacketView* packet = walk.Next()) summary.Add(packet->time_ns, packet->frame.size());
  report.packets += summary.packets;
  if (!walk.status()) problem(walk.status().error().message);
  if (summary.packets != entry.packet_count)
    problem(fmt::format("{} packets, expected {}", summary.packets, entry.packet_count));
  if (summary.packets > 0 && (summary.first_ns != entry.first_ns || summary.last_ns != entry.last_ns)) {
    problem(fmt::format("its packets are from {} to {} ns, expected {} to {}", summary.first_ns,
                        summary.last_ns, entry.first_ns, entry.last_ns));
  }
}

Status CheckPackets(const PacketFile& file, const BlockTable& table, FileReport& report) {
  std::vector<uint8_t> bytes;
  for (const BlockEntry& entry : table.blocks) {
    if (entry.used_bytes < kKernelHeaderBytes) continue;  // the walk has told
    bytes.resize(entry.used_bytes);
    STENO_CHECK_OK(file.Read(bytes, entry.file_offset));
    CheckBlock(file, entry, bytes, report);
  }
  if (table.missing_blocks != 0) {
    AddProblem(report,
               fmt::format("{}: {} blocks are missing or damaged", file.path(), table.missing_blocks));
  } else if (!table.clean) {
    AddProblem(report,
               fmt::format("{}: from byte {} on there are no blocks of this file, expected them or zeros",
                           file.path(), table.valid_bytes));
  }
  return {};
}

bool SameBlock(const BlockEntry& a, const BlockEntry& b) {
  return a.file_offset == b.file_offset && a.first_ns == b.first_ns && a.last_ns == b.last_ns &&
         a.packet_count == b.packet_count && a.used_bytes == b.used_bytes;
}

// Whether the index is of these blocks and of all their packets; false if comparing it makes no sense.
bool CheckIndexedBlocks(const std::string& path, const FlowIndex& index, const BlockTable& table,
                        FileReport& report) {
  const std::span<const BlockEntry> blocks = index.blocks();
  for (size_t i = 0; i < std::min(blocks.size(), table.blocks.size()); ++i) {
    if (SameBlock(blocks[i], table.blocks[i])) continue;
    AddProblem(report, fmt::format("{}: block {} is at byte {} with {} packets, expected byte {} and {}",
                                   path, i, blocks[i].file_offset, blocks[i].packet_count,
                                   table.blocks[i].file_offset, table.blocks[i].packet_count));
    return false;
  }
  if (blocks.size() > table.blocks.size()) {
    AddProblem(report, fmt::format("{}: {} blocks, but the packet file has {}", path, blocks.size(),
                                   table.blocks.size()));
    return false;
  }
  const auto left_out =
      static_cast<size_t>(std::ranges::count_if(
          blocks, [](const BlockEntry& block) { return (block.flags & kBlockUnindexed) != 0; })) +
      table.blocks.size() - blocks.size();
  if (left_out == 0) return true;
  report.notes.push_back(fmt::format("{}: {} of {} blocks are not in it: queries read them whole", path,
                                     left_out, table.blocks.size()));
  return false;
}

// The offset of the first difference, or nullopt.
Result<std::optional<uint64_t>> FirstDifference(const std::string& a_path, const std::string& b_path) {
  STENO_TRY(const UniqueFd a, OpenFile(a_path, O_RDONLY));
  STENO_TRY(const UniqueFd b, OpenFile(b_path, O_RDONLY));
  std::vector<uint8_t> from_a(kCompareBytes);
  std::vector<uint8_t> from_b(kCompareBytes);
  for (uint64_t at = 0;; at += kCompareBytes) {
    STENO_TRY(const size_t got_a, ReadSome(a.get(), from_a, at, a_path));
    STENO_TRY(const size_t got_b, ReadSome(b.get(), from_b, at, b_path));
    const size_t both = std::min(got_a, got_b);
    const auto differs =
        std::mismatch(from_a.begin(), from_a.begin() + static_cast<std::ptrdiff_t>(both), from_b.begin())
            .first;
    const auto same = static_cast<size_t>(differs - from_a.begin());
    if (same < both || got_a != got_b) return at + same;
    if (got_a < kCompareBytes) return std::nullopt;
  }
}

// Compares the index with one that is made anew.
Status CompareIndex(const PacketFile& file, const std::string& path, bool raw, FileReport& report) {
  STENO_TRY(const ScratchDirectory scratch, ScratchDirectory::Make());
  STENO_CHECK_OK(RebuildIndex(file.path(), scratch.path(), "0"));
  std::string compared = path;
  if (raw) {
    std::error_code error;
    compared = scratch.path() + "/1";
    std::filesystem::copy_file(path, compared, error);
    if (error) return Fail(Error::System("copy " + path, error.value()));
    STENO_CHECK_OK(CompactIndex(scratch.path(), "1"));
  }
  STENO_TRY(const std::optional<uint64_t> differs, FirstDifference(compared, scratch.path() + "/0"));
  if (differs) {
    AddProblem(report,
               fmt::format("{}: byte {} on is not what the packets give: queries may miss some; --reindex "
                           "makes it anew",
                           path, *differs));
  }
  return {};
}

Status CheckIndex(const PacketFile& file, const BlockTable& table, const std::string& path,
                  FileReport& report) {
  const auto summary = ReadIndexSummary(path);
  if (!summary && summary.error().sys_errno == ENOENT) {
    report.notes.push_back(file.path() + ": no index: queries read it whole");
    return {};
  }
  report.indexed = true;
  const auto unusable = [&](const Error& error) -> Status {
    if (!IsUnusableIndex(error)) return Fail(error);
    AddProblem(report, error.message + ": queries read the packet file whole; --reindex makes it anew");
    return {};
  };
  if (table.foreign && IsLevelDbTable(path)) {
    const auto gaps = FindGoogleGaps(path, file, table.blocks);
    return gaps ? Status() : unusable(gaps.error());
  }
  if (!summary) return unusable(summary.error());
  const auto index = OpenSealedIndex(path);
  if (!index) return unusable(index.error());
  if (summary->raw) report.notes.push_back(path + ": not sealed yet: queries scan it");
  if (!CheckIndexedBlocks(path, **index, table, report)) return {};
  const Status compared = CompareIndex(file, path, summary->raw, report);
  return compared ? Status() : unusable(compared.error());
}

}  // namespace

Result<FileReport> VerifyFile(const std::string& packet_path, const std::string& index_path) {
  FileReport report;
  STENO_TRY(const PacketFile file, PacketFile::Open(packet_path));
  STENO_TRY(const BlockTable table, file.WalkBlocks());
  report.foreign = table.foreign;
  report.blocks = table.blocks.size();
  STENO_CHECK_OK(CheckPackets(file, table, report));
  STENO_CHECK_OK(CheckIndex(file, table, index_path, report));
  return report;
}

}  // namespace steno
