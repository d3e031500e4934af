#include "server/api/completions/completions.h"

#include <algorithm>

#include "server/api/answer/answer.h"
#include "server/api/answer/logprobs.h"
#include "server/api/answer/prepare.h"
#include "server/api/completions/completion_request.h"
#include "server/api/fields/read_request.h"

namespace saccade::api {
namespace {

Result<std::vector<PreparedPrompt>> prepare(const Service& service,
                                            const CompletionRequest& request) {
  std::vector<PreparedPrompt> prompts;
  for (const auto& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    std::vector<TokenId> ids =
        text != nullptr ? service.prompts.build_text(*text, request.add_special_tokens).ids
                        : std::get<std::vector<int32_t>>(prompt);
    Result<PreparedPrompt> prepared =
        prepare_text(service, std::move(ids), request.options, request.max_tokens);
    if (!prepared) return prepared.status();
    prompts.push_back(*std::move(prepared));
  }
  return prompts;
}

// The prompts' texts, for `echo`.
std::vector<std::string> prompt_texts(const Service& service, const CompletionRequest& request) {
  std::vector<std::string> texts;
  for (const auto& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    texts.push_back(text != nullptr
                        ? *text
                        : service.tokenizer->decode(std::get<std::vector<int32_t>>(prompt), false));
  }
  return texts;
}

// The likeliest `keep` of each prompt's choices by their mean log-probability, renumbered.
std::vector<ChoiceDelta> best_of(std::vector<ChoiceDelta> answers, int made, int keep) {
  const auto mean = [](const ChoiceDelta& answer) {
    double sum = 0;
    for (const LogprobEntry& entry : answer.logprobs) sum += entry.chosen.logprob;
    return sum / static_cast<double>(std::max<size_t>(answer.logprobs.size(), 1));
  };
  std::vector<ChoiceDelta> kept;
  for (auto first = answers.begin(); first != answers.end(); first += made) {
    std::stable_sort(first, first + made,
                     [&](const ChoiceDelta& a, const ChoiceDelta& b) { return mean(a) > mean(b); });
    std::move(first, first + keep, std::back_inserter(kept));
  }
  return kept;
}

// Writes whole answers and chunks, which have the same shape here.
class CompletionFormat {
 public:
  CompletionFormat(const Service& service, const Generation& generation,
                   const CompletionRequest& request)
      : service_(service),
        generation_(generation),
        model_(service.name_of(request.model)),
        request_(request),
        started_(generation.choices(), false),
        offsets_(generation.choices(), 0) {
    if (request.echo) echoed_ = prompt_texts(service, request);
  }

  Json whole(std::vector<ChoiceDelta> answers) {
    const GenerationOptions& options = request_.options;
    if (options.n > request_.choices) {
      answers = best_of(std::move(answers), options.n, request_.choices);
    }
    Json choices = Json::array();
    for (size_t i = 0; i < answers.size(); ++i) choices.push_back(choice(i, answers[i]));
    Json body = object();
    body["choices"] = std::move(choices);
    body["usage"] = usage_json(generation_.usage());
    if (options.timings) body["timings"] = timings_json(generation_);
    return body;
  }

  std::vector<Json> delta(const ChoiceDelta& delta) {
    Json chunk = object();
    chunk["choices"] = Json::array({choice(static_cast<size_t>(delta.choice), delta)});
    const GenerationOptions& options = request_.options;
    if (options.continuous_usage) {
      chunk["usage"] = usage_json(generation_.usage());
    } else if (options.include_usage) {
      chunk["usage"] = nullptr;
    }
    if (options.timings && !options.include_usage && generation_.done()) {
      chunk["timings"] = timings_json(generation_);
    }
    return {std::move(chunk)};
  }

  std::vector<Json> last() {
    if (!request_.options.include_usage) return {};
    Json chunk = object();
    chunk["choices"] = Json::array();
    chunk["usage"] = usage_json(generation_.usage());
    if (request_.options.timings) chunk["timings"] = timings_json(generation_);
    return {std::move(chunk)};
  }

 private:
  Json object() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", model_},
            {"system_fingerprint", service_.options.fingerprint}};
  }

  // `index` is the number in the answer, delta.choice that of the generation: they differ where
  // only the best choices are returned.
  Json choice(size_t index, const ChoiceDelta& delta) {
    const GenerationOptions& options = request_.options;
    const PreparedPrompt& prompt = generation_.prompt(delta.choice);
    const bool first = !started_[index];
    started_[index] = true;
    std::vector<LogprobEntry> entries;
    if (first && request_.echo_logprobs) entries = prompt_entries(prompt, delta.prompt_logprobs);
    entries.insert(entries.end(), delta.logprobs.begin(), delta.logprobs.end());
    const bool echoes = first && request_.echo;
    Json made = {{"index", index},
                 {"text", (echoes ? echoed_[delta.choice / options.n] : "") + delta.text},
                 {"logprobs", request_.logprobs ? completion_logprobs(
                                                      {*service_.tokenizer, options.tokens_as_ids},
                                                      entries, offsets_[index])
                                                : Json()},
                 {"finish_reason", delta.finish ? Json(finish_name(*delta.finish)) : Json()}};
    if (delta.finish) made["stop_reason"] = stop_reason_json(delta);
    if (first && request_.prompt_logprobs) {
      made["prompt_logprobs"] =
          prompt_logprobs_json(*service_.tokenizer, prompt, delta.prompt_logprobs);
    }
    if (options.return_token_ids) {
      made["token_ids"] = token_ids_json(delta.logprobs);
      if (first) made["prompt_token_ids"] = prompt.ids;
    }
    return made;
  }

  const Service& service_;
  const Generation& generation_;  // lives as long as the reply that streams it
  const std::string id_ = response_id("cmpl-");
  const int64_t created_ = unix_time();
  const std::string model_;
  const CompletionRequest request_;
  std::vector<std::string> echoed_;  // [prompts]; empty without echo
  std::vector<bool> started_;        // [choices] whether anything was written
  std::vector<size_t> offsets_;      // [choices] characters written, for text_offset
};

}  // namespace

http::HttpReply completions(Call& call) {
  Service& service = call.service;
  auto completion = read_request(service, call.request, parse_completion_request);
  if (!completion) return error_response(completion.status());
  if (const Status status = constrain(service.grammars, completion->format, completion->options);
      !status.ok()) {
    return error_response(status);
  }
  Result<std::vector<PreparedPrompt>> prompts = prepare(service, *completion);
  if (!prompts) return error_response(prompts.status());
  auto generation =
      Generation::start(service, call.admission, *std::move(prompts), completion->options);
  if (!generation) return error_response(generation.status());

  const auto format = std::make_shared<CompletionFormat>(service, **generation, *completion);
  if (!completion->options.stream) {
    Result<std::vector<ChoiceDelta>> answers = collect(**generation, call.client);
    if (!answers) return error_response(answers.status());
    return http::json_reply(to_text(format->whole(*std::move(answers))));
  }
  return stream_reply(*std::move(generation),
                      {[] { return std::vector<Json>(); },
                       [format](const ChoiceDelta& delta) { return format->delta(delta); },
                       [format] { return format->last(); }});
}

}  // namespace saccade::api
