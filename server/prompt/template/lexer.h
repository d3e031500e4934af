#pragma once

// Template source to tokens, with trim_blocks and lstrip_blocks as transformers sets them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace saccade::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string text;  // data, name, operator, or the string's value with escapes resolved
  int64_t integer = 0;
  double real = 0;

  bool is_op(std::string_view op) const { return type == TokenType::kOperator && text == op; }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

// Ends with a kEnd token. Throws TemplateError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace saccade::jinja
