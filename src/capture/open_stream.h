// Which streams a recorder reads instead of an interface.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "capture/capture_options.h"
#include "capture/packet_source.h"

namespace steno {

// For log lines: "interface eth0", "tcp@sensor:57012", "3 files".
std::string SourceName(const CaptureOptions& options);

// Opens the files, or tries the connection, that the options name. REQUIRES: options.from_stream().
Result<std::unique_ptr<PacketSource>> OpenStream(const CaptureOptions& options);

}  // namespace steno
