#include "server/api/answer/logprobs.h"

#include <algorithm>

namespace saccade::api {
namespace {

// JSON has no infinity, and clients read plain numbers.
constexpr float kLowest = -9999.0f;

float finite(float logprob) { return logprob > kLowest ? logprob : kLowest; }

std::string name_of(const TokenNames& names, TokenId id) {
  return names.as_ids ? "token_id:" + std::to_string(id) : names.tokenizer.token_bytes(id);
}

Json token_json(const TokenNames& names, const TokenText& token) {
  const std::string bytes = names.tokenizer.token_bytes(token.id);
  Json numbers = Json::array();
  for (const unsigned char byte : bytes) numbers.push_back(byte);
  return {{"token", name_of(names, token.id)},
          {"logprob", finite(token.logprob)},
          {"bytes", std::move(numbers)}};
}

size_t characters(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

Json chat_logprobs(const TokenNames& names, const std::vector<LogprobEntry>& entries) {
  Json content = Json::array();
  for (const LogprobEntry& entry : entries) {
    Json token = token_json(names, entry.chosen);
    Json& top = token["top_logprobs"] = Json::array();
    for (const TokenText& other : entry.top) top.push_back(token_json(names, other));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json completion_logprobs(const TokenNames& names, const std::vector<LogprobEntry>& entries,
                         size_t& text_offset) {
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json top_logprobs = Json::array();
  Json offsets = Json::array();
  for (const LogprobEntry& entry : entries) {
    const std::string text = names.tokenizer.token_bytes(entry.chosen.id);
    const std::string name = name_of(names, entry.chosen.id);
    Json top;
    if (entry.known) {
      top[name] = finite(entry.chosen.logprob);
      for (const TokenText& other : entry.top) {
        top[name_of(names, other.id)] = finite(other.logprob);
      }
    }
    tokens.push_back(name);
    logprobs.push_back(entry.known ? Json(finite(entry.chosen.logprob)) : Json());
    top_logprobs.push_back(std::move(top));
    offsets.push_back(text_offset);
    if (!names.tokenizer.is_special(entry.chosen.id)) text_offset += characters(text);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(top_logprobs)},
          {"text_offset", std::move(offsets)}};
}

std::vector<LogprobEntry> prompt_entries(const PreparedPrompt& prompt,
                                         const std::vector<PromptLogprob>& scores) {
  std::vector<LogprobEntry> entries(prompt.ids.size());
  const size_t unscored = entries.size() - std::min(scores.size(), entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    LogprobEntry& entry = entries[i];
    entry.chosen.id = prompt.ids[i];
    entry.known = i >= unscored;
    if (!entry.known) continue;
    const PromptLogprob& score = scores[i - unscored];
    entry.chosen.logprob = score.token.logprob;
    for (const TokenLogprob& other : score.top) entry.top.push_back({other.token, other.logprob});
  }
  return entries;
}

Json prompt_logprobs_json(const Tokenizer& tokenizer, const PreparedPrompt& prompt,
                          const std::vector<PromptLogprob>& scores) {
  const auto entry = [&](const TokenLogprob& token, int rank) -> Json {
    return {{"logprob", finite(token.logprob)},
            {"rank", rank},
            {"decoded_token", tokenizer.token_bytes(token.token)}};
  };
  Json list = Json::array();
  const size_t unscored = prompt.ids.size() - std::min(scores.size(), prompt.ids.size());
  size_t span = 0;
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    const auto position = static_cast<int>(i);
    while (span < prompt.spans.size() &&
           prompt.spans[span].position + prompt.spans[span].length <= position) {
      ++span;
    }
    const bool visual = span < prompt.spans.size() && prompt.spans[span].position <= position &&
                        !prompt.spans[span].looks();
    Json& tokens = list.emplace_back();
    if (i < unscored || visual) continue;
    const PromptLogprob& score = scores[i - unscored];
    tokens[std::to_string(score.token.token)] = entry(score.token, score.rank);
    for (size_t k = 0; k < score.top.size(); ++k) {
      const TokenLogprob& other = score.top[k];
      if (other.token == score.token.token) continue;
      tokens[std::to_string(other.token)] = entry(other, static_cast<int>(k) + 1);
    }
  }
  return list;
}

}  // namespace saccade::api
