#include "server/api/tokenize.h"

#include "server/api/answer/answer.h"
#include "server/api/answer/answer_plan.h"
#include "server/api/answer/prepare.h"
#include "server/api/chat/chat_request.h"
#include "server/api/fields/read_request.h"
#include "server/api/fields/request_tables.h"
#include "server/prompt/template/unicode.h"

namespace saccade::api {
namespace {

struct TokenizeRequest {
  std::optional<Conversation> conversation;  // else `prompt`
  ToolOptions tools;
  std::string prompt;
  std::optional<bool> add_special_tokens;
  bool with_strings = false;
  bool with_pieces = false;
};

Result<TokenizeRequest> parse_tokenize(const Json& body, const ModelLimits& limits) {
  TokenizeRequest tokenize;
  Fields fields(body, {kTokenizeFields, kTemplateFields}, limits);
  fields.read("add_special_tokens", tokenize.add_special_tokens);
  fields.read("return_token_strs", tokenize.with_strings);
  if (fields.find("messages") != nullptr) {
    tokenize.conversation = read_conversation(fields, limits);
    tokenize.tools = read_tools(fields, limits.fields);
  } else if (fields.find("prompt") != nullptr) {
    fields.read("prompt", tokenize.prompt);
  } else if (fields.find("content") != nullptr) {  // llama-server's names and defaults
    fields.read("content", tokenize.prompt);
    fields.read("with_pieces", tokenize.with_pieces);
    bool special = false;
    fields.read("add_special", special);
    tokenize.add_special_tokens = special;
  } else {
    fields.fail("prompt", "prompt or messages is missing");
  }
  if (!fields.ok()) return fields.status();
  return tokenize;
}

Result<std::vector<TokenId>> parse_detokenize(const Json& body, const ModelLimits& limits) {
  Fields fields(body, {kDetokenizeFields}, limits);
  std::vector<TokenId> ids;
  fields.read_ids("tokens", ids);
  if (!fields.ok()) return fields.status();
  return ids;
}

// llama-server's form of token ids: each with its text, or its bytes where they are no text.
Json pieces_json(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  Json pieces = Json::array();
  for (const TokenId id : ids) {
    const std::string bytes = tokenizer.token_bytes(id);
    Json piece = bytes;
    if (!jinja::is_valid_utf8(bytes)) piece = std::vector<uint8_t>(bytes.begin(), bytes.end());
    pieces.push_back({{"id", id}, {"piece", std::move(piece)}});
  }
  return pieces;
}

// Tokens of each part of the messages. A picture's are those of the prompt; a text's are counted as
// it stands alone, for in the prompt its ends may join what the template writes around it.
Json part_counts(const Service& service, const Conversation& conversation, const Prompt& prompt) {
  std::vector<int> media(conversation.media().size());
  for (const MediaSpan& span : prompt.spans) media[span.media] += span.looks() ? 1 : span.length;
  Json counts = Json::array();
  size_t item = 0;
  for (size_t m = 0; m < conversation.messages.size(); ++m) {
    const auto& parts = conversation.messages[m].parts;
    for (size_t p = 0; p < parts.size(); ++p) {
      const bool text = parts[p].kind == ContentPart::Kind::kText;
      const bool video = parts[p].kind == ContentPart::Kind::kVideo;
      const size_t tokens = text ? service.prompts.build_text(parts[p].text, false).ids.size()
                                 : static_cast<size_t>(media[item++]);
      counts.push_back({{"message", m},
                        {"part", p},
                        {"type", text    ? "text"
                                 : video ? "video"
                                         : "image"},
                        {"tokens", tokens}});
    }
  }
  return counts;
}

Result<Prompt> prompt_of(Service& service, const TokenizeRequest& wanted,
                         const MediaClient& client) {
  if (!wanted.conversation) {
    return service.prompts.build_text(wanted.prompt, wanted.add_special_tokens.value_or(true));
  }
  Conversation shown = *wanted.conversation;  // parts are counted as they came
  show_tools(service, wanted.tools, shown);
  return count_chat(service, shown, client);
}

}  // namespace

http::HttpReply tokenize(Service& service, http::HttpRequest& request, http::Client& client) {
  const auto wanted = read_request(service, request, parse_tokenize);
  if (!wanted) return error_response(wanted.status());
  const Result<Prompt> prompt =
      prompt_of(service, *wanted, {request.key, [&client] { return client.gone(); }});
  if (!prompt) return error_response(prompt.status());
  Json strings;
  if (wanted->with_strings) {
    strings = Json::array();
    for (const TokenId id : prompt->ids) strings.push_back(service.tokenizer->token_text(id));
  }
  const size_t count = prompt->ids.size();
  Json answer = {{"count", count},
                 {"max_model_len", service.limits.max_model_len},
                 {"tokens", prompt->ids},
                 {"token_strs", std::move(strings)},
                 {"text_tokens", count - static_cast<size_t>(prompt->image_tokens)},
                 {"image_tokens", prompt->image_tokens},
                 {"connector_tokens", prompt->instruction.size()}};
  if (wanted->conversation) answer["parts"] = part_counts(service, *wanted->conversation, *prompt);
  if (wanted->with_pieces) answer["tokens"] = pieces_json(*service.tokenizer, prompt->ids);
  return http::json_reply(to_text(answer));
}

http::HttpReply detokenize(Service& service, http::HttpRequest& request, http::Client&) {
  const auto ids = read_request(service, request, parse_detokenize);
  if (!ids) return error_response(ids.status());
  const std::string text = service.tokenizer->decode(*ids, false);
  return http::json_reply(
      to_text({{"prompt", text}, {"content", text}}));  // vLLM's, llama-server's
}

}  // namespace saccade::api
