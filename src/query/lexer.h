// Query text -> tokens, for both syntaxes. Pure; tokens point into the text, which must outlive them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace steno::internal {

enum class TokenKind : uint8_t {
  kEnd,     // behind the last token
  kWord,    // letters, digits and . : - + _ (a keyword, an address, a time); a leading backslash as in "\tcp"
  kOpen,    // (
  kClose,   // )
  kNot,     // ! or the word "not"
  kAnd,     // && or the word "and"
  kOr,      // || or the word "or"
  kPipe,    // |
  kEquals,  // =
  kSlash,   // /
  kOther,   // any other byte
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
  uint32_t column = 0;  // 1-based, in bytes
};

// Never fails; the last token is kEnd.
std::vector<Token> Tokenize(std::string_view text);

// Reads tokens one after another; stays at the kEnd token.
class TokenCursor {
 public:
  explicit TokenCursor(std::string_view text) : text_(text), tokens_(Tokenize(text)) {}

  // All of the text, for who reads on byte by byte.
  [[nodiscard]] std::string_view text() const { return text_; }

  [[nodiscard]] const Token& Peek(size_t ahead = 0) const;
  Token Next();
  // Takes the next token if it is this word, in any case, or of this kind.
  bool TakeWord(std::string_view word);
  bool Take(TokenKind kind);
  // Goes on behind byte `at`, up to which another reader took the text; an error if that is inside a token.
  Status SkipTo(size_t at);

 private:
  std::string_view text_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
};

bool EqualsIgnoringCase(std::string_view a, std::string_view b);
std::string LowerCase(std::string_view text);

// Text for messages, cut at about 64 bytes.
std::string Shorten(std::string_view text);
// A token in a message: "\"and\"", "the end of the query", "byte 0xc3".
std::string Describe(const Token& token);

Error QueryError(uint32_t column, std::string message);

}  // namespace steno::internal
