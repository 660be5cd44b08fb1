#include "capture/open_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "capture/file_feed.h"
#include "capture/filter_expression.h"
#include "capture/stream_source.h"
#include "capture/tcp_feed.h"

namespace steno {
namespace {

// What a stream cannot hand over waits at its sender, so that more memory would buy nothing but misses in the
// processor's cache.
constexpr unsigned kMaxBlocks = 64;

}  // namespace

std::string SourceName(const CaptureOptions& options) {
  if (options.read_files.size() == 1)
    return options.read_files[0] == "-" ? "standard input" : options.read_files[0];
  if (!options.read_files.empty()) return fmt::format("{} files", options.read_files.size());
  return IsTcpPeer(options.interface_name) ? options.interface_name : "interface " + options.interface_name;
}

Result<std::unique_ptr<PacketSource>> OpenStream(const CaptureOptions& options) {
  StreamOptions stream{.block_bytes = options.block_kb * 1024,
                       .block_count = std::min(options.blocks_per_thread(), kMaxBlocks),
                       .filter = {}};
  STENO_TRY(stream.filter, MakeFilter(options.filter, ""));
  if (options.snaplen != 0) {
    STENO_TRY(stream.filter, LimitLength(std::move(stream.filter), options.snaplen));
  }
  std::unique_ptr<StreamFeed> feed;
  if (options.read_files.empty()) {
    STENO_TRY(feed, TcpFeed::Open(options.interface_name));
  } else {
    STENO_TRY(feed, FileFeed::Open(options.read_files));
  }
  STENO_TRY(std::unique_ptr<PacketSource> source, StreamSource::Create(stream, std::move(feed)));
  STENO_INFO("thread 0: {}, ring of {} blocks of {} KiB", SourceName(options), source->block_count(),
             source->block_bytes() / 1024);
  return source;
}

}  // namespace steno
