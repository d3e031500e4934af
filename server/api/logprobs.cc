#include "server/api/logprobs.h"

#include <algorithm>

namespace saccade::api {
namespace {

// JSON has no infinity, and clients read plain numbers.
constexpr float kLowest = -9999.0f;

float finite(float logprob) { return logprob > kLowest ? logprob : kLowest; }

Json token_json(const Tokenizer& tokenizer, const TokenText& token) {
  const std::string bytes = tokenizer.token_bytes(token.id);
  Json numbers = Json::array();
  for (const unsigned char byte : bytes) numbers.push_back(byte);
  return {{"token", bytes}, {"logprob", finite(token.logprob)}, {"bytes", std::move(numbers)}};
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

Json chat_logprobs(const Tokenizer& tokenizer, const std::vector<LogprobEntry>& entries) {
  Json content = Json::array();
  for (const LogprobEntry& entry : entries) {
    Json token = token_json(tokenizer, entry.chosen);
    Json& top = token["top_logprobs"] = Json::array();
    for (const TokenText& other : entry.top) top.push_back(token_json(tokenizer, other));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json completion_logprobs(const Tokenizer& tokenizer, const std::vector<LogprobEntry>& entries,
                         size_t& text_offset) {
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json top_logprobs = Json::array();
  Json offsets = Json::array();
  for (const LogprobEntry& entry : entries) {
    const std::string text = tokenizer.token_bytes(entry.chosen.id);
    Json top = Json::object();
    top[text] = finite(entry.chosen.logprob);
    for (const TokenText& other : entry.top) {
      top[tokenizer.token_bytes(other.id)] = finite(other.logprob);
    }
    tokens.push_back(text);
    logprobs.push_back(finite(entry.chosen.logprob));
    top_logprobs.push_back(std::move(top));
    offsets.push_back(text_offset);
    text_offset += characters(text);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(top_logprobs)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace saccade::api
