#include "query/filter_words.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "packet/wire.h"
#include "query/byte_sources.h"
#include "query/values.h"

namespace steno::internal {

namespace {

using Reach = PacketFilter::Reach;

constexpr NumberKind kPacketLength{"a length", 0, UINT32_MAX};
constexpr NumberKind kSessionNumber{"a PPPoE session", 0, 0xffff};
constexpr NumberKind kVniNumber{"a Geneve VNI", 0, 0xffffff};
constexpr std::string_view kLlcTypes = " i s u rr rnr rej ui ua disc dm sabme test xid frmr ";

// Primitives that other link types or systems have: what an Ethernet recorder cannot answer.
struct Refusal {
  const char* words;  // with blanks around each
  const char* reason;
};
constexpr std::array<Refusal, 8> kRefusals = {{
    {" inbound outbound ", "is not possible: which way a packet went is not recorded"},
    {" protochain ", "is not possible: its programs need not end; proto looks behind IPv6 extension headers"},
    {" gateway ", "needs host names, which are not looked up: try ether host MAC and not host ADDRESS"},
    {" ifname on rnr rulenum reason rset ruleset srnr subrulenum action ",
     "is about logs of a packet filter; recorded are Ethernet frames"},
    {" wlan radio type subtype dir direction addr1 addr2 addr3 addr4 ra ta ",
     "is about Wi-Fi frames; recorded are Ethernet frames"},
    {" fddi tr ppp slip ", "is about other link types; recorded are Ethernet frames, see ether"},
    {" lane metac bcc oam oamf4 oamf4ec oamf4sc ilmic connectmsg metaconnect vpi vci ",
     "is about ATM; recorded are Ethernet frames"},
    {" fisu lssu lsu msu hfisu hlssu hmsu sio opc dpc sls hsio hopc hdpc hsls ",
     "is about SS7; recorded are Ethernet frames"},
}};

bool Lists(std::string_view words, std::string_view word) {
  return words.find(fmt::format(" {} ", LowerCase(word))) != std::string_view::npos;
}

// Null if there is none.
const char* ReasonAgainst(std::string_view word) {
  for (const Refusal& refusal : kRefusals) {
    if (Lists(refusal.words, word)) return refusal.reason;
  }
  return nullptr;
}

// A protocol behind the Ethernet header that is more than an ether type: with LLC, or either way.
struct LinkWord {
  const char* name;
  uint32_t ether_type;  // 0: only with LLC
  bool is_ether_proto;  // has "ether proto \\name"
};
// Ether types: <linux/if_ether.h>.
constexpr std::array<LinkWord, 16> kLinkWords = {{
    {"aarp", 0x80f3, true},
    {"atalk", 0x809b, true},
    {"ipx", 0x8137, true},
    {"stp", 0, true},
    {"netbeui", 0, true},
    {"iso", 0, true},
    {"clnp", 0, false},
    {"esis", 0, false},
    {"isis", 0, false},
    {"l1", 0, false},
    {"l2", 0, false},
    {"iih", 0, false},
    {"lsp", 0, false},
    {"snp", 0, false},
    {"csnp", 0, false},
    {"psnp", 0, false},
}};

// Protocols of one ether type.
constexpr std::array<std::pair<const char*, uint32_t>, 7> kTypeWords = {{
    {"mopdl", 0x6001},
    {"moprc", 0x6002},
    {"decnet", 0x6003},
    {"lat", 0x6004},
    {"sca", 0x6007},
    {"pppoed", 0x8863},
    {"pppoes", wire::kEtherPppoeSession},
}};

std::vector<ExpressionPtr> OneOf(ExpressionPtr implied) {
  std::vector<ExpressionPtr> all;
  if (implied) all.push_back(std::move(implied));
  return all;
}

// Reads one of these primitives from `cursor`, of which nothing is taken unless it is one.
class WordReader {
 public:
  WordReader(TokenCursor& cursor, TreeLimits& limits)
      : cursor_(cursor),
        limits_(limits),
        word_(LowerCase(cursor.Peek().text)),
        column_(cursor.Peek().column) {}

  Result<std::optional<SyntaxNode>> Read() {
    if (word_ == "broadcast") return Broadcast(1);
    if (word_ == "multicast") return Filter(1, "multicast", Reach::kFrame, nullptr);
    if ((word_ == "ip" || word_ == "ip6") && Is(1, "protochain")) return Refuse(ReasonAgainst("protochain"));
    if (word_ == "ether" || word_ == "ip" || word_ == "ip6") return ReadCast(LowerCase(cursor_.Peek(1).text));
    if (word_ == "less" || word_ == "greater") return ReadLength();
    if (word_ == "ah") return Filter(1, "ah", Reach::kLayers, nullptr);
    if (word_ == "geneve") return ReadGeneve();
    if (word_ == "pppoes" && HasNumber()) return ReadSession();
    if (word_ == "llc") return ReadLlc();
    if ((word_ == "iso" || word_ == "isis") && Is(1, "proto")) return ReadIsoProtocol();
    return ReadLinkWord();
  }

 private:
  Result<std::optional<SyntaxNode>> ReadCast(std::string_view next) {
    if (next == "broadcast" && word_ == "ether") return Broadcast(2);
    if (next == "broadcast" && word_ == "ip") {
      return Refuse("needs the netmask of an interface: try dst host with the broadcast address");
    }
    if (next != "multicast") return std::nullopt;
    if (word_ == "ether") return Filter(2, "multicast", Reach::kFrame, nullptr);
    return Filter(2, word_ + " multicast", Reach::kLayers,
                  MayHaveIp(word_ == "ip" ? kLayerBitIpv4 : kLayerBitIpv6));
  }

  Result<std::optional<SyntaxNode>> Broadcast(size_t words) {
    Term term;
    term.kind = TermKind::kMac;
    term.side = Side::kDestination;
    term.mac.fill(0xff);
    Skip(words);
    return limits_.Leaf(term, column_);
  }

  Result<std::optional<SyntaxNode>> ReadLength() {
    Skip(1);
    STENO_TRY(const Token value, TakeValue(cursor_, word_ + " ", kPacketLength.name));
    STENO_TRY(const uint32_t length, ParseNumber(word_ + " ", value, kPacketLength));
    return Filter(0, fmt::format("{} {}", word_, length), Reach::kFrame, nullptr);
  }

  Result<std::optional<SyntaxNode>> ReadGeneve() {
    std::string text = word_;
    Skip(1);
    STENO_CHECK_OK(TakeNumber(kVniNumber, text));
    Term term = NumberTerm(TermKind::kPort, {wire::kPortGeneve, wire::kPortGeneve});
    term.side = Side::kDestination;
    term.protocol = wire::kIpUdp;
    return Filter(0, std::move(text), Reach::kLayers, MakeTerm(term));
  }

  Result<std::optional<SyntaxNode>> ReadSession() {
    std::string text = word_;
    Skip(1);
    STENO_CHECK_OK(TakeNumber(kSessionNumber, text));
    return Filter(0, std::move(text), Reach::kLayers, HasEtherType(wire::kEtherPppoeSession));
  }

  Result<std::optional<SyntaxNode>> ReadLlc() {
    Skip(1);
    std::string text = word_;
    if (cursor_.Peek().kind == TokenKind::kWord) {
      const Token type = cursor_.Next();
      if (!Lists(kLlcTypes, type.text)) {
        return Fail(
            QueryError(type.column, fmt::format("llc {}: a type of LLC frame is one of{}", Shorten(type.text),
                                                kLlcTypes.substr(0, kLlcTypes.size() - 1))));
      }
      text += " " + LowerCase(type.text);
    }
    return Filter(0, std::move(text), Reach::kLayers, HasEtherType(0));
  }

  // "iso proto \\isis", "isis proto 15".
  Result<std::optional<SyntaxNode>> ReadIsoProtocol() {
    constexpr std::array<std::pair<const char*, uint32_t>, 3> kNames = {
        {{"clnp", 0x81}, {"esis", 0x82}, {"isis", 0x83}}};  // ISO/IEC TR 9577
    Skip(2);
    const std::string primitive = word_ + " proto ";
    STENO_TRY(Token value, TakeValue(cursor_, primitive, kProtocolNumber.name));
    for (const auto& [name, number] : kNames) {
      if (word_ != "iso" || !EqualsIgnoringCase(WithoutBackslash(value.text), name)) continue;
      return Filter(0, fmt::format("{}{}", primitive, number), Reach::kLayers, HasEtherType(0));
    }
    STENO_TRY(const uint32_t number, ParseNumber(primitive, value, kProtocolNumber));
    return Filter(0, fmt::format("{}{}", primitive, number), Reach::kLayers, HasEtherType(0));
  }

  Result<std::optional<SyntaxNode>> ReadLinkWord() {
    for (const LinkWord& link : kLinkWords) {
      if (word_ != link.name) continue;
      return Filter(1, word_, Reach::kLayers,
                    link.ether_type == 0 ? HasEtherType(0) : HasEtherType(0, link.ether_type));
    }
    for (const auto& [name, number] : kTypeWords) {
      if (word_ != name) continue;
      Skip(1);
      return limits_.Leaf(NumberTerm(TermKind::kEtherType, {number, number}), column_);
    }
    if (const char* reason = ReasonAgainst(word_)) return Refuse(reason);
    return std::nullopt;
  }

  [[nodiscard]] tl::unexpected<Error> Refuse(std::string_view reason) const {
    const bool two_words = word_ == "ip" || word_ == "ip6";
    const std::string second = two_words ? " " + LowerCase(cursor_.Peek(1).text) : "";
    return Fail(QueryError(column_, fmt::format("{}{} {}", word_, second, reason)));
  }

  // The filter `text`, after `words` more tokens.
  Result<std::optional<SyntaxNode>> Filter(size_t words, std::string text, Reach reach,
                                           ExpressionPtr implied) {
    Skip(words);
    return limits_.Filter(std::move(text), reach, OneOf(std::move(implied)), column_);
  }

  [[nodiscard]] bool Is(size_t ahead, std::string_view word) const {
    return EqualsIgnoringCase(cursor_.Peek(ahead).text, word);
  }
  [[nodiscard]] bool HasNumber() const {
    return cursor_.Peek(1).kind == TokenKind::kWord && cursor_.Peek(1).text[0] >= '0' &&
           cursor_.Peek(1).text[0] <= '9';
  }
  Status TakeNumber(const NumberKind& kind, std::string& text) {
    if (cursor_.Peek().kind != TokenKind::kWord) return {};
    STENO_TRY(const uint32_t number, ParseNumber(text + " ", cursor_.Next(), kind));
    text += fmt::format(" {}", number);
    return {};
  }
  void Skip(size_t words) {
    while (words-- > 0) cursor_.Next();
  }

  TokenCursor& cursor_;
  TreeLimits& limits_;
  const std::string word_;
  const uint32_t column_;
};

}  // namespace

Result<std::optional<SyntaxNode>> ParseFilterWord(TokenCursor& cursor, TreeLimits& limits) {
  return WordReader(cursor, limits).Read();
}

Result<std::optional<SyntaxNode>> LinkProtocol(std::string_view name, TreeLimits& limits, uint32_t column) {
  for (const LinkWord& link : kLinkWords) {
    if (!link.is_ether_proto || !EqualsIgnoringCase(name, link.name)) continue;
    return limits.Filter(fmt::format("ether proto \\{}", link.name), Reach::kLayers,
                         OneOf(link.ether_type == 0 ? HasEtherType(0) : HasEtherType(0, link.ether_type)),
                         column);
  }
  for (const auto& [word, number] : kTypeWords) {
    if (EqualsIgnoringCase(name, word))
      return limits.Leaf(NumberTerm(TermKind::kEtherType, {number, number}), column);
  }
  return std::nullopt;
}

}  // namespace steno::internal
