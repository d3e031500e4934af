#include "server/api/completions/completion_request.h"

#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

constexpr size_t kMaxPrompts = 128;

// best_of choices are generated for each prompt, and the n likeliest returned.
void read_best_of(Fields& fields, CompletionRequest& request) {
  GenerationOptions& options = request.options;
  request.choices = options.n;
  std::optional<int> best_of;
  fields.read("best_of", best_of);
  if (!best_of) return;
  if (*best_of < options.n) return fields.fail("best_of", "best_of must be at least n");
  if (*best_of == options.n) return;
  if (options.stream) return fields.fail("best_of", "best_of cannot be streamed");
  options.n = *best_of;
  // They are compared by log-probability.
  if (!options.sampling.logprobs) options.sampling.logprobs = 0;
}

void check_choices(Fields& fields, const CompletionRequest& request) {
  const GenerationOptions& options = request.options;
  const size_t choices = request.prompts.size() * static_cast<size_t>(options.n);
  if (choices > kMaxPrompts) {
    fields.fail(options.n > request.choices ? "best_of" : "n",
                "n or best_of times the number of prompts is " + std::to_string(choices) +
                    "; at most " + std::to_string(kMaxPrompts) + " choices are made");
  }
}

}  // namespace

Result<CompletionRequest> parse_completion_request(const Json& body, const ModelLimits& limits) {
  CompletionRequest request;
  Fields fields(body, {kGenerationFields, kForeignFields, kCompletionFields}, limits);
  GenerationOptions& options = request.options;
  fields.read("model", request.model);
  request.prompts = read_texts(fields, "prompt", limits, kMaxPrompts);
  options = read_generation_options(fields);
  request.format = read_structured_output(fields);
  fields.read("echo", request.echo);
  fields.read("add_special_tokens", request.add_special_tokens);
  fields.read("logprobs", options.sampling.logprobs);
  request.logprobs = options.sampling.logprobs.has_value();
  request.prompt_logprobs = options.sampling.prompt_logprobs.has_value();
  read_best_of(fields, request);
  check_choices(fields, request);
  // Echoed tokens have log-probabilities, too, when the answer's have.
  request.echo_logprobs = request.echo && request.logprobs;
  if (request.echo_logprobs && !options.sampling.prompt_logprobs) {
    options.sampling.prompt_logprobs = options.sampling.logprobs;
  }
  fields.read("max_tokens", request.max_tokens);
  if (request.max_tokens == 0 && !options.sampling.prompt_logprobs) {
    if (!request.echo) {
      fields.fail("max_tokens", "max_tokens may be 0 only with echo or prompt_logprobs");
    }
    options.sampling.prompt_logprobs = 0;  // the engine has to have something to do
  }
  if (!fields.ok()) return fields.status();
  return request;
}

}  // namespace saccade::api
