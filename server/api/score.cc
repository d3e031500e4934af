#include "server/api/score.h"

#include "server/api/answer/answer.h"
#include "server/api/answer/prepare.h"
#include "server/api/chat/chat_request.h"
#include "server/api/fields/read_request.h"
#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

constexpr size_t kMaxOptions = 128;

std::vector<TokenId> ids_of(const Service& service, const TextOrIds& text, bool special_tokens) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&text)) return *ids;
  return service.prompts.build_text(std::get<std::string>(text), special_tokens).ids;
}

Result<PreparedPrompt> prepare_prompt(Call& call, const ScoreRequest& request,
                                      const GenerationOptions& options) {
  Service& service = call.service;
  if (request.conversation) {
    return prepare_chat(service, *request.conversation, options, call.admission.get());
  }
  return prepare_text(service, ids_of(service, request.prompt, request.add_special_tokens), options,
                      0);
}

// The prompt with each option behind it. They begin alike, so the prefix cache computes the prompt
// once, up to its last whole block.
Result<std::vector<PreparedPrompt>> continuations(const Service& service,
                                                  const ScoreRequest& request,
                                                  const PreparedPrompt& prompt) {
  std::vector<PreparedPrompt> prompts;
  for (size_t i = 0; i < request.options.size(); ++i) {
    const std::string path = "options[" + std::to_string(i) + "]";
    const std::vector<TokenId> option = ids_of(service, request.options[i], false);
    if (option.empty()) return invalid_argument(path + " has no tokens", path);
    PreparedPrompt& whole = prompts.emplace_back(prompt);
    whole.score_from = static_cast<int>(prompt.ids.size());
    whole.ids.insert(whole.ids.end(), option.begin(), option.end());
    const auto limit = static_cast<size_t>(service.limits.max_model_len);
    if (whole.ids.size() > limit) {
      return invalid_argument("prompt and option have " + std::to_string(whole.ids.size()) +
                                  " tokens; this model takes " + std::to_string(limit),
                              path);
    }
  }
  return prompts;
}

Json option_json(const ChoiceDelta& answer, bool token_logprobs) {
  double sum = 0;
  Json tokens = Json::array();
  for (const PromptLogprob& score : answer.prompt_logprobs) {
    sum += score.token.logprob;
    tokens.push_back(score.token.logprob);
  }
  const size_t count = answer.prompt_logprobs.size();
  Json option = {{"object", "score"},
                 {"index", answer.choice},
                 {"sum_logprob", sum},
                 {"mean_logprob", sum / static_cast<double>(count)},
                 {"num_tokens", count}};
  if (token_logprobs) option["token_logprobs"] = std::move(tokens);
  return option;
}

}  // namespace

Result<ScoreRequest> parse_score_request(const Json& body, const ModelLimits& limits) {
  ScoreRequest request;
  Fields fields(body, {kScoreFields, kTemplateFields}, limits);
  fields.read("model", request.model);
  if (fields.find("messages") != nullptr) {
    request.conversation = read_conversation(fields, limits);
  } else {
    std::vector<TextOrIds> prompt = read_texts(fields, "prompt", limits, 1);
    if (fields.ok()) request.prompt = std::move(prompt.front());
  }
  request.options = read_texts(fields, "options", limits, kMaxOptions);
  fields.read("return_token_logprobs", request.token_logprobs);
  fields.read("cache_salt", request.cache_salt);
  std::optional<bool> special_tokens;
  fields.read("add_special_tokens", special_tokens);
  request.add_special_tokens = special_tokens.value_or(true);
  if (!fields.ok()) return fields.status();
  return request;
}

http::HttpReply score(Call& call) {
  Service& service = call.service;
  const auto request = read_request(service, call.request, parse_score_request);
  if (!request) return error_response(request.status());
  GenerationOptions options;
  options.max_tokens = 0;
  options.adapter = service.adapter_of(request->model);
  options.cache_salt = request->cache_salt;
  options.sampling.prompt_logprobs = 0;
  const Result<PreparedPrompt> prompt = prepare_prompt(call, *request, options);
  if (!prompt) return error_response(prompt.status());
  Result<std::vector<PreparedPrompt>> prompts = continuations(service, *request, *prompt);
  if (!prompts) return error_response(prompts.status());

  auto generation = Generation::start(service, call.admission, *std::move(prompts), options);
  if (!generation) return error_response(generation.status());
  const Result<std::vector<ChoiceDelta>> answers = collect(**generation, call.client);
  if (!answers) return error_response(answers.status());

  Json data = Json::array();
  Usage usage = (*generation)->usage();
  usage.prompt_tokens = static_cast<int>(prompt->ids.size());  // once
  usage.image_tokens = prompt->image_tokens;
  usage.cached_tokens = std::min(usage.cached_tokens, usage.prompt_tokens);
  for (const ChoiceDelta& answer : *answers) {
    usage.prompt_tokens += static_cast<int>(answer.prompt_logprobs.size());
    data.push_back(option_json(answer, request->token_logprobs));
  }
  return http::json_reply(to_text({{"id", response_id("score-")},
                                   {"object", "list"},
                                   {"created", unix_time()},
                                   {"model", service.name_of(request->model)},
                                   {"data", std::move(data)},
                                   {"usage", usage_json(usage)}}));
}

}  // namespace saccade::api
