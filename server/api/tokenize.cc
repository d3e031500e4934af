#include "server/api/tokenize.h"

#include "server/api/answer.h"
#include "server/api/chat_request.h"
#include "server/api/prepare.h"

namespace saccade::api {
namespace {

constexpr size_t kMaxDetokenizeIds = 1 << 18;

struct TokenizeRequest {
  std::optional<Conversation> conversation;  // else `prompt`
  std::string prompt;
  bool add_special_tokens = true;
  bool with_strings = false;
};

Result<TokenizeRequest> read_tokenize(const Service& service, http::HttpRequest& request) {
  const Result<Json> body = parse_body(request.body);
  request.body = {};
  if (!body) return body.status();
  TokenizeRequest tokenize;
  Fields fields(*body);
  std::string model;
  fields.read("model", model);
  fields.read("add_special_tokens", tokenize.add_special_tokens);
  fields.read("return_token_strs", tokenize.with_strings);
  if (fields.find("messages") != nullptr) {
    tokenize.conversation = read_conversation(fields, service.limits.fields);
  } else if (fields.find("prompt") != nullptr) {
    fields.read("prompt", tokenize.prompt);
  } else {
    fields.fail("prompt", "prompt or messages is missing");
  }
  if (!fields.ok()) return fields.status();
  if (const Status status = service.check_model(model); !status.ok()) return status;
  return tokenize;
}

}  // namespace

http::HttpReply tokenize(Service& service, http::HttpRequest& request, http::Client&) {
  const Result<TokenizeRequest> wanted = read_tokenize(service, request);
  if (!wanted) return error_response(wanted.status());
  const Result<Prompt> prompt =
      wanted->conversation
          ? count_chat(service, *wanted->conversation)
          : Result<Prompt>(service.prompts.build_text(wanted->prompt, wanted->add_special_tokens));
  if (!prompt) return error_response(prompt.status());
  Json strings;
  if (wanted->with_strings) {
    strings = Json::array();
    for (const TokenId id : prompt->ids) strings.push_back(service.tokenizer->token_text(id));
  }
  const size_t count = prompt->ids.size();
  return http::json_reply(
      to_text({{"count", count},
               {"max_model_len", service.limits.max_model_len},
               {"tokens", prompt->ids},
               {"token_strs", std::move(strings)},
               {"text_tokens", count - static_cast<size_t>(prompt->image_tokens)},
               {"image_tokens", prompt->image_tokens},
               {"connector_tokens", prompt->instruction.size()}}));
}

http::HttpReply detokenize(Service& service, http::HttpRequest& request, http::Client&) {
  const Result<Json> body = parse_body(request.body);
  if (!body) return error_response(body.status());
  Fields fields(*body);
  std::string model;
  std::vector<TokenId> ids;
  fields.read("model", model);
  if (fields.find("tokens") == nullptr) fields.fail("tokens", "tokens is missing");
  fields.read_ids("tokens", ids, service.limits.vocab_size, kMaxDetokenizeIds);
  if (!fields.ok()) return error_response(fields.status());
  if (const Status status = service.check_model(model); !status.ok()) return error_response(status);
  return http::json_reply(to_text({{"prompt", service.tokenizer->decode(ids, false)}}));
}

}  // namespace saccade::api
