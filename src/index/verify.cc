#include "index/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
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
#include "index/owner.h"
#include "index/sealed_index.h"
#include "index/sealer.h"
#include "storage/packet_file.h"
#include "storage/packet_view.h"

namespace steno {
namespace {

constexpr size_t kCompareBytes = 1 << 20;
constexpr int kMaxAttempts = 3;

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
  if (summary.packets > 0 && !TimesFit(entry, summary.first_ns, summary.last_ns)) {
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

// A note if there are blocks of which queries read everything.
void CountLeftOut(const std::string& path, std::span<const BlockEntry> indexed, const BlockTable& table,
                  FileReport& report) {
  const auto unindexed = std::ranges::count_if(
      indexed, [](const BlockEntry& block) { return (block.flags & kBlockUnindexed) != 0; });
  const size_t left_out = static_cast<size_t>(unindexed) + table.blocks.size() - indexed.size();
  if (left_out == 0) return;
  report.notes.push_back(fmt::format("{}: {} of {} blocks are not in it: queries read them whole", path,
                                     left_out, table.blocks.size()));
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

// Compares the index with one that is made anew from the same blocks.
Status CompareIndex(const PacketFile& file, const std::string& path, const IndexSummary& summary,
                    size_t blocks, FileReport& report) {
  STENO_TRY(const ScratchDirectory scratch, ScratchDirectory::Make());
  RebuildOptions options{.max_blocks = blocks, .before_read = {}};
  if (summary.pairs_when_full != 0) options.max_pairs = summary.pairs_when_full;
  STENO_CHECK_OK(RebuildIndex(file.path(), scratch.path(), "0", options));
  std::string compared = path;
  if (summary.raw) {
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
                           "--all makes it anew",
                           path, *differs));
  }
  return {};
}

// The errors are those of the index itself, too.
Status CheckOwnIndex(const PacketFile& file, const BlockTable& table, const std::string& path,
                     const IndexSummary& summary, FileReport& report) {
  STENO_TRY(const FileIdentity identity, ReadFileIdentity(file));
  STENO_CHECK_OK(CheckFileTag(path, summary.file_tag, identity.file_tag));
  STENO_CHECK_OK(CheckIndexFile(path));
  STENO_TRY(const auto index, OpenSealedIndex(path));
  if (summary.raw) report.notes.push_back(path + ": not sealed yet: queries scan it");
  STENO_CHECK_OK(CheckBlocks(path, index->blocks(), table));
  CountLeftOut(path, index->blocks(), table, report);
  return CompareIndex(file, path, summary, index->blocks().size(), report);
}

Status CheckIndex(const PacketFile& file, const BlockTable& table, const std::string& path,
                  FileReport& report) {
  const auto summary = ReadIndexSummary(path);
  if (!summary && summary.error().sys_errno == ENOENT) {
    report.notes.push_back(file.path() + ": no index: queries read it whole");
    return {};
  }
  report.indexed = true;
  Status checked;
  if (table.foreign && IsLevelDbTable(path)) {
    const auto gaps = FindGoogleGaps(path, file, table.blocks);
    if (!gaps) checked = Fail(gaps.error());
  } else {
    checked = summary ? CheckOwnIndex(file, table, path, *summary, report) : Fail(summary.error());
  }
  if (checked || !IsUnusableIndex(checked.error())) return checked;
  AddProblem(report,
             checked.error().message + ": queries read the packet file whole; --reindex makes it anew");
  return {};
}

// Of the file at `path`, to see whether it has been replaced; all zero if there is none.
struct stat StateOf(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return {};
  return info;
}

// The server may seal or rebuild an index meanwhile: what was seen of the old one does not count.
Status CheckSteadyIndex(const PacketFile& file, const BlockTable& table, const std::string& path,
                        FileReport& report) {
  const FileReport before = report;
  for (int attempt = 0;; ++attempt) {
    const struct stat state = StateOf(path);
    const Status checked = CheckIndex(file, table, path, report);
    const struct stat now = StateOf(path);
    const bool steady = state.st_ino == now.st_ino && state.st_ctim.tv_sec == now.st_ctim.tv_sec &&
                        state.st_ctim.tv_nsec == now.st_ctim.tv_nsec;
    if (steady || attempt == kMaxAttempts) return checked;
    report = before;
  }
}

}  // namespace

Result<FileReport> VerifyFile(const std::string& packet_path, const std::string& index_path) {
  FileReport report;
  STENO_TRY(const PacketFile file, PacketFile::Open(packet_path));
  STENO_TRY(const BlockTable table, file.WalkBlocks());
  report.foreign = table.foreign;
  report.blocks = table.blocks.size();
  STENO_CHECK_OK(CheckPackets(file, table, report));
  STENO_CHECK_OK(CheckSteadyIndex(file, table, index_path, report));
  return report;
}

}  // namespace steno
