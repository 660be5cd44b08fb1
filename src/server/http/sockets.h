// Listening sockets, and who is at the other end of a connection. System calls only. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "server/client_identity.h"

namespace steno {

// Listens on the first address that `host` (an address or a name; empty: all addresses) stands for and that
// can be bound. `port` 0 takes a free one.
Result<UniqueFd> ListenTcp(const std::string& host, uint16_t port);

// The port of a bound TCP socket.
Result<uint16_t> BoundPort(int fd);

// Listens on a Unix socket at `path` with mode 0660 and the group named (empty: the process's). A socket file
// that nobody listens on any more is replaced; any other file is an error.
Result<UniqueFd> ListenUnix(const std::string& path, const std::string& group);

// The user and the process of a Unix socket's client (SO_PEERCRED).
ClientIdentity UnixPeer(int fd);

// "192.0.2.1:4711" or "[2001:db8::1]:4711".
std::string TcpPeerName(int fd);

// True once the client has closed its side of the connection, or the whole of it; does not read from the
// socket.
bool PeerHasLeft(int fd);

}  // namespace steno
