#include "server/api/responses/responses_request.h"

#include <algorithm>

#include "server/api/fields/request_tables.h"
#include "server/api/request/structured_output.h"
#include "server/api/responses/responses_input.h"

namespace saccade::api {
namespace {

// text.format, which holds what response_format.json_schema does in chats.
std::optional<GrammarSpec> read_format(Fields& fields) {
  if (!fields.ok()) return std::nullopt;
  const Json* text = fields.find("text");
  if (text == nullptr || !text->contains("format") || (*text)["format"].is_null()) {
    return read_structured_output(fields);
  }
  const Fields format((*text)["format"], {kTextFormatFields}, fields.limits(), "text.format");
  fields.fail(format.status());
  if (!fields.ok()) return std::nullopt;
  const auto& type = format.find("type")->get_ref<const std::string&>();
  if (type == "text") return std::nullopt;
  if (type == "json_object") {
    return GrammarSpec{GrammarSpec::Kind::kJsonObject, "", "text.format"};
  }
  const Json* name = format.find("name");
  if (name == nullptr || !is_valid_name(name->get_ref<const std::string&>())) {
    const std::string where = format.path("name");
    fields.fail(where, where + " must be 1 to 64 letters, digits, _ or -");
    return std::nullopt;
  }
  const Json* schema = format.find("schema");
  const std::string path = format.path("schema");
  if (schema == nullptr) {
    fields.fail(path, path + " is missing");
    return std::nullopt;
  }
  return GrammarSpec{GrammarSpec::Kind::kJsonSchema, to_text(*schema), path};
}

// A response repeats what it was asked.
Json echoed_fields(const Fields& fields) {
  Json echoed = Json::object();
  for (const char* name :
       {"instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning",
        "service_tier", "temperature", "text", "tool_choice", "top_p", "top_logprobs", "truncation",
        "user", "safety_identifier", "prompt_cache_key", "max_tool_calls"}) {
    if (const Json* value = fields.find(name)) echoed[name] = *value;
  }
  if (echoed.contains("text")) {  // a format in any case
    echoed["text"].emplace("format", Json{{"type", "text"}});
  }
  const Json* tools = fields.find("tools");
  if (tools == nullptr) return echoed;
  for (Json tool : *tools) {  // the response's schema wants these two; ResponseFormat knows strict
    tool.emplace("parameters", nullptr);
    tool.emplace("strict", nullptr);
    echoed["tools"].push_back(std::move(tool));
  }
  return echoed;
}

// What a client may wish to see besides; but for log-probabilities it is of tools and stores that
// are not here, and so there is nothing to show.
constexpr const char* kIncludable[] = {"message.output_text.logprobs",
                                       "reasoning.encrypted_content",
                                       "message.input_image.image_url",
                                       "file_search_call.results",
                                       "web_search_call.results",
                                       "web_search_call.action.sources",
                                       "computer_call_output.output.image_url",
                                       "code_interpreter_call.outputs"};

bool wants_logprobs(Fields& fields) {
  const Json* include = fields.ok() ? fields.find("include") : nullptr;
  if (include == nullptr) return false;
  if (!include->is_array()) {
    fields.fail("include", "include must be an array");
    return false;
  }
  bool wanted = false;
  for (size_t i = 0; i < include->size(); ++i) {
    const Json& name = (*include)[i];
    if (std::find(std::begin(kIncludable), std::end(kIncludable), name) == std::end(kIncludable)) {
      const std::string path = "include[" + std::to_string(i) + "]";
      fields.fail(path, path + " is nothing that can be included");
      return false;
    }
    wanted = wanted || name == kIncludable[0];
  }
  return wanted;
}

}  // namespace

Result<ResponsesRequest> parse_responses_request(const Json& body, const ModelLimits& limits) {
  ResponsesRequest request;
  Fields fields(body, {kGenerationFields, kForeignFields, kResponsesFields}, limits);
  fields.read("model", request.model);
  read_responses_input(fields, limits, request);
  request.options = read_generation_options(fields);
  fields.read("max_output_tokens", request.options.max_tokens);
  request.options.max_tokens_field = "max_output_tokens";
  if (request.options.n != 1) fields.fail("n", "a response has one answer: n must be 1");
  request.format = read_format(fields);
  request.tools = read_tools(fields, limits.fields, ToolForm::kResponses);
  fields.read("instructions", request.instructions);
  fields.read("previous_response_id", request.previous_response_id);
  fields.read("store", request.store);
  std::string truncation;
  fields.read("truncation", truncation);
  request.drops_oldest = truncation == "auto";
  if (const Json* reasoning = fields.ok() ? fields.find("reasoning") : nullptr) {
    Fields(*reasoning, "reasoning").read("effort", request.conversation.reasoning_effort);
  }
  std::optional<int> top;
  fields.read("top_logprobs", top);
  const bool logprobs = wants_logprobs(fields);
  if (fields.ok() && (logprobs || top.value_or(0) > 0)) {
    request.options.sampling.logprobs = top.value_or(0);
  }
  if (!fields.ok()) return fields.status();
  request.echoed = echoed_fields(fields);
  return request;
}

}  // namespace saccade::api
