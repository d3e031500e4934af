#include "server/api/completion_request.h"

namespace saccade::api {
namespace {

constexpr size_t kMaxPrompts = 128;

void read_ids_prompt(Fields& fields, const char* path, const Json& list, const ModelLimits& limits,
                     CompletionRequest& request) {
  const Json holder = {{path, list}};
  Fields inner(holder);
  std::vector<int32_t> ids;
  inner.read_ids(path, ids, limits.vocab_size, static_cast<size_t>(limits.max_model_len));
  if (!inner.ok()) return fields.fail(inner.status().param(), inner.status().message());
  request.prompts.emplace_back(std::move(ids));
}

// A string, a list of strings, a list of token ids, or a list of lists of token ids.
void read_prompt(Fields& fields, const ModelLimits& limits, CompletionRequest& request) {
  const Json* prompt = fields.find("prompt");
  if (!fields.ok()) return;
  if (prompt == nullptr) return fields.fail("prompt", "prompt is missing");
  if (prompt->is_string()) {
    request.prompts.emplace_back(prompt->get<std::string>());
    return;
  }
  if (!prompt->is_array()) {
    return fields.fail("prompt",
                       "prompt must be a string or an array, not " + std::string(kind_of(*prompt)));
  }
  if (prompt->empty()) return fields.fail("prompt", "prompt must not be empty");
  if (prompt->front().is_number()) {
    return read_ids_prompt(fields, "prompt", *prompt, limits, request);
  }
  if (prompt->size() > kMaxPrompts) {
    return fields.fail("prompt",
                       "prompt holds more than " + std::to_string(kMaxPrompts) + " prompts");
  }
  for (size_t i = 0; i < prompt->size() && fields.ok(); ++i) {
    const Json& item = (*prompt)[i];
    const std::string path = "prompt[" + std::to_string(i) + "]";
    if (item.is_string()) {
      request.prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array() && !item.empty()) {
      read_ids_prompt(fields, path.c_str(), item, limits, request);
    } else {
      fields.fail(path, path + " must be a string or a list of token ids");
    }
  }
}

void refuse_unsupported(Fields& fields, const CompletionRequest& request) {
  std::string suffix;
  std::optional<int> best_of;
  fields.read("suffix", suffix);
  if (!suffix.empty()) fields.fail("suffix", "suffix is not supported");
  fields.read("best_of", best_of, {1, 128});
  if (best_of && *best_of != request.options.n) {
    fields.fail("best_of", "best_of other than n is not supported");
  }
  if (request.echo && request.options.sampling.logprobs) {
    fields.fail("echo", "echo together with logprobs is not supported");
  }
  const size_t choices = request.prompts.size() * static_cast<size_t>(request.options.n);
  if (choices > kMaxPrompts) {
    fields.fail("n", "n times the number of prompts is " + std::to_string(choices) + "; at most " +
                         std::to_string(kMaxPrompts) + " choices are made");
  }
}

}  // namespace

Result<CompletionRequest> parse_completion_request(const Json& body, const ModelLimits& limits) {
  CompletionRequest request;
  Fields fields(body);
  fields.read("model", request.model);
  read_prompt(fields, limits, request);
  request.options = read_generation_options(fields, limits);
  request.format = read_structured_output(fields);
  fields.read("echo", request.echo);
  fields.read("add_special_tokens", request.add_special_tokens);
  fields.read("logprobs", request.options.sampling.logprobs,
              {0, static_cast<double>(limits.fields.max_top_logprobs)});
  refuse_unsupported(fields, request);
  if (!fields.ok()) return fields.status();
  return request;
}

}  // namespace saccade::api
