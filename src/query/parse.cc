#include "query/parse.h"

#include <fmt/format.h>

#include "query/filter_parser.h"
#include "query/lexer.h"
#include "query/original_parser.h"

namespace steno {

Result<ExpressionPtr> ParseQuery(std::string_view text, int64_t now_ns) {
  if (text.size() > kMaxQueryBytes) {
    return Fail(internal::QueryError(
        static_cast<uint32_t>(kMaxQueryBytes + 1),
        fmt::format("the query has {} bytes: a query has at most {}", text.size(), kMaxQueryBytes)));
  }
  if (internal::TokenCursor(text).Peek().kind == internal::TokenKind::kEnd) {
    return Fail(internal::QueryError(1, "the query is empty: expected a term like \"host 192.0.2.1\""));
  }
  return internal::IsOriginalSyntax(text) ? internal::ParseOriginal(text, now_ns)
                                          : internal::ParseFilter(text, now_ns);
}

std::string QueryErrorText(const Error& error) {
  return error.column == 0 ? error.message : fmt::format("column {}: {}", error.column, error.message);
}

}  // namespace steno
