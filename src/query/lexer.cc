#include "query/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace steno::internal {

namespace {

constexpr size_t kShownBytes = 64;

// <cctype> would depend on the locale.
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsWordByte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == ':' ||
         c == '-' || c == '+' || c == '_' || c == '\\';
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

TokenKind WordKind(std::string_view word) {
  if (EqualsIgnoringCase(word, "and")) return TokenKind::kAnd;
  if (EqualsIgnoringCase(word, "or")) return TokenKind::kOr;
  if (EqualsIgnoringCase(word, "not")) return TokenKind::kNot;
  return TokenKind::kWord;
}

TokenKind SymbolKind(std::string_view symbol) {
  if (symbol == "&&") return TokenKind::kAnd;
  if (symbol == "||") return TokenKind::kOr;
  switch (symbol[0]) {
    case '(':
      return TokenKind::kOpen;
    case ')':
      return TokenKind::kClose;
    case '!':
      return TokenKind::kNot;
    case '|':
      return TokenKind::kPipe;
    case '=':
      return TokenKind::kEquals;
    case '/':
      return TokenKind::kSlash;
    default:
      return TokenKind::kOther;
  }
}

}  // namespace

std::vector<Token> Tokenize(std::string_view text) {
  std::vector<Token> tokens;
  size_t at = 0;
  for (;;) {
    while (at < text.size() && IsSpace(text[at])) ++at;
    const auto column = static_cast<uint32_t>(at + 1);
    if (at == text.size()) {
      tokens.push_back({TokenKind::kEnd, {}, column});
      return tokens;
    }
    size_t length = 0;
    while (at + length < text.size() && IsWordByte(text[at + length])) ++length;
    if (length > 0) {
      const std::string_view word = text.substr(at, length);
      tokens.push_back({WordKind(word), word, column});
    } else {
      const std::string_view pair = text.substr(at, 2);
      const std::string_view symbol = pair == "&&" || pair == "||" ? pair : pair.substr(0, 1);
      tokens.push_back({SymbolKind(symbol), symbol, column});
      length = symbol.size();
    }
    at += length;
  }
}

const Token& TokenCursor::Peek(size_t ahead) const {
  return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
}

Token TokenCursor::Next() {
  const Token token = Peek();
  if (next_ + 1 < tokens_.size()) ++next_;
  return token;
}

bool TokenCursor::TakeWord(std::string_view word) {
  if (Peek().kind != TokenKind::kWord || !EqualsIgnoringCase(Peek().text, word)) return false;
  Next();
  return true;
}

bool TokenCursor::Take(TokenKind kind) {
  if (Peek().kind != kind) return false;
  Next();
  return true;
}

Status TokenCursor::SkipTo(size_t at) {
  while (Peek().kind != TokenKind::kEnd && Peek().column + Peek().text.size() <= at + 1) Next();
  if (Peek().column > at) return {};
  const auto column = static_cast<uint32_t>(at + 1);
  const Token rest{TokenKind::kWord, text_.substr(at, Peek().column - 1 + Peek().text.size() - at), column};
  return Fail(QueryError(
      column, "expected an operator, \"and\", \"or\" or the end of the query, found " + Describe(rest)));
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, Lower, Lower);
}

std::string LowerCase(std::string_view text) {
  std::string lower;
  std::ranges::transform(text, std::back_inserter(lower), Lower);
  return lower;
}

std::string Shorten(std::string_view text) {
  if (text.size() <= kShownBytes) return std::string(text);
  return std::string(text.substr(0, kShownBytes)) + "...";
}

std::string Describe(const Token& token) {
  if (token.kind == TokenKind::kEnd) return "the end of the query";
  const auto byte = static_cast<uint8_t>(token.text[0]);
  if (byte < 0x20 || byte > 0x7e) return fmt::format("byte {:#04x}", byte);
  return fmt::format("\"{}\"", Shorten(token.text));
}

Error QueryError(uint32_t column, std::string message) {
  return {ErrorCode::kInvalid, 0, column, std::move(message)};
}

}  // namespace steno::internal
