// Checks a packet file and its index against each other. Reads only; needs the memory of one segment, and
// disk space for one index in the directory for temporary files.
//
// Thread-safe. What is wrong with the files is told in the report; an error is what kept them from being
// checked (kNotFound: the file is gone; I/O errors).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace steno {

struct FileReport {
  uint64_t blocks = 0;
  uint64_t packets = 0;
  bool foreign = false;  // written by the incumbent: it has no block headers to check
  bool indexed = false;  // there is an index file
  // Packets are missing, or queries may give a wrong answer. Each names the file, the place, and what was
  // expected. At most kMaxReportLines; `more_problems` counts the rest.
  std::vector<std::string> problems;
  uint64_t more_problems = 0;
  std::vector<std::string> notes;  // what costs queries time: no index, a raw one, blocks left out of it
};

inline constexpr size_t kMaxReportLines = 100;

// Every block: its header, its place, its packets one by one, their times and their number. The index: that
// it is of this file and of these blocks, and that it has the very bytes that an index made anew from the
// packets has. So no packet is missing in it, and nothing is in it that is not in the file.
Result<FileReport> VerifyFile(const std::string& packet_path, const std::string& index_path);

}  // namespace steno
