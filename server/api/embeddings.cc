#include "server/api/embeddings.h"

#include <openssl/evp.h>

#include <cmath>

#include "server/api/answer/answer.h"
#include "server/api/answer/prepare.h"
#include "server/api/chat/chat_request.h"
#include "server/api/fields/read_request.h"
#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

constexpr size_t kMaxInputs = 2048;
// Inputs go to the engine in groups, so that one request does not fill the queue.
constexpr size_t kGroup = 32;

Result<PreparedPrompt> prepare_input(const Service& service, const TextOrIds& input,
                                     const GenerationOptions& options, const std::string& path) {
  const auto* text = std::get_if<std::string>(&input);
  if (text != nullptr && text->empty()) return invalid_argument(path + " must not be empty", path);
  std::vector<TokenId> ids = text != nullptr ? service.prompts.build_text(*text, true).ids
                                             : std::get<std::vector<int32_t>>(input);
  Result<PreparedPrompt> prompt = prepare_text(service, std::move(ids), options, 0);
  if (!prompt) return prompt.status().with_param(path);
  return prompt;
}

Result<std::vector<PreparedPrompt>> prepare_all(Call& call, const EmbeddingsRequest& request,
                                                const GenerationOptions& options) {
  Service& service = call.service;
  std::vector<PreparedPrompt> prompts;
  if (request.conversation) {
    Result<PreparedPrompt> prompt =
        prepare_chat(service, *request.conversation, options, call.admission.get());
    if (!prompt) return prompt.status();
    prompts.push_back(*std::move(prompt));
  }
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const std::string path = request.listed ? element_path("input", i) : "input";
    Result<PreparedPrompt> prompt = prepare_input(service, request.inputs[i], options, path);
    if (!prompt) return prompt.status();
    prompts.push_back(*std::move(prompt));
  }
  return prompts;
}

void normalize(std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) squares += double{value} * value;
  if (squares <= 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& value : values) value = static_cast<float>(value * scale);
}

std::string base64_of(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  const size_t bytes = values.size() * sizeof(float);
  std::string text((bytes + 2) / 3 * 4 + 1, '\0');  // and the library's final zero
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(values.data()),
                                     static_cast<int>(bytes));
  text.resize(static_cast<size_t>(length));
  return text;
}

Json embedding_json(size_t index, std::vector<float> values, const EmbeddingsRequest& request) {
  if (request.normalize) normalize(values);
  return {{"object", "embedding"},
          {"index", index},
          {"embedding", request.base64 ? Json(base64_of(values)) : Json(values)}};
}

}  // namespace

Result<EmbeddingsRequest> parse_embeddings_request(const Json& body, const ModelLimits& limits) {
  EmbeddingsRequest request;
  Fields fields(body, {kEmbeddingsFields, kTemplateFields}, limits);
  fields.read("model", request.model);
  if (fields.find("messages") != nullptr) {
    if (fields.find("input") != nullptr) {
      fields.fail("messages", "messages and input exclude one another");
    }
    request.conversation = read_conversation(fields, limits);
    // What is there is described; nobody is about to answer.
    if (fields.find("add_generation_prompt") == nullptr) {
      request.conversation->add_generation_prompt = false;
    }
  } else {
    request.inputs = read_texts(fields, "input", limits, kMaxInputs);
    const Json* input = fields.find("input");
    request.listed = fields.ok() && input->is_array() && !input->front().is_number();
  }
  if (fields.find("dimensions") != nullptr) {
    fields.fail("dimensions", "dimensions is not supported: this model's vectors have one length");
  }
  std::string format = "float", pooling = "mean";
  fields.read("encoding_format", format);
  fields.read("pooling", pooling);
  fields.read("normalize", request.normalize);
  fields.read("cache_salt", request.cache_salt);
  request.base64 = format == "base64";
  request.pooling = pooling == "last" ? Pooling::kLast : Pooling::kMean;
  if (!fields.ok()) return fields.status();
  return request;
}

http::HttpReply embeddings(Call& call) {
  Service& service = call.service;
  const auto request = read_request(service, call.request, parse_embeddings_request);
  if (!request) return error_response(request.status());
  GenerationOptions options;
  options.max_tokens = 0;
  options.adapter = service.adapter_of(request->model);
  options.cache_salt = request->cache_salt;
  options.pooling = request->pooling;
  Result<std::vector<PreparedPrompt>> prompts = prepare_all(call, *request, options);
  if (!prompts) return error_response(prompts.status());

  Json data = Json::array();
  int tokens = 0;
  for (size_t first = 0; first < prompts->size(); first += kGroup) {
    const auto begin = prompts->begin() + static_cast<long>(first);
    const auto end =
        prompts->begin() + static_cast<long>(std::min(first + kGroup, prompts->size()));
    std::vector<PreparedPrompt> group;
    std::move(begin, end, std::back_inserter(group));
    auto generation = Generation::start(service, call.admission, std::move(group), options);
    if (!generation) return error_response(generation.status());
    Result<std::vector<ChoiceDelta>> answers = collect(**generation, call.client);
    if (!answers) return error_response(answers.status());
    for (ChoiceDelta& answer : *answers) {
      data.push_back(embedding_json(data.size(), std::move(answer.pooled), *request));
    }
    tokens += (*generation)->usage().prompt_tokens;
  }
  return http::json_reply(
      to_text({{"object", "list"},
               {"data", std::move(data)},
               {"model", service.name_of(request->model)},
               {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}}));
}

}  // namespace saccade::api
