// What a capture needs to know about an interface before it opens a socket on it.
//
// Looks in the caller's network namespace. Thread-safe.
#pragma once

#include <string>

#include "base/result.h"

namespace steno {

// The index of an interface whose frames are Ethernet's (Ethernet itself, loopback). kNotFound lists the
// interfaces there are; kUnsupported: its frames have another form.
Result<int> FindEthernetInterface(const std::string& name);

}  // namespace steno
