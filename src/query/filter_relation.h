// Relations of the pcap-filter syntax, which compare numbers out of the packet's bytes:
// "tcp[tcpflags] & (tcp-syn | tcp-ack) = tcp-syn", "ip[2:2] > 576", "len <= 100".
//
// Checked here, so that a mistake gets its place, and compiled by libpcap.
#pragma once

#include <string>

#include "base/result.h"
#include "query/lexer.h"
#include "query/syntax_tree.h"

namespace steno::internal {

// Whether a relation starts at the next token. Looks only as far ahead as a parenthesis reaches.
bool StartsRelation(const TokenCursor& cursor);

// Takes it. REQUIRES: StartsRelation().
Result<SyntaxNode> ParseRelation(TokenCursor& cursor, TreeLimits& limits);

}  // namespace steno::internal
