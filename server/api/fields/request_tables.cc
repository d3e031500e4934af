#include "server/api/fields/request_tables.h"

#include "server/api/fields/field_makers.h"
#include "server/prompt/prompt_builder.h"

namespace saccade::api {
namespace {

using namespace makers;

constexpr double kMaxSeed = 9223372036854775808.0;  // 2^63
constexpr double kMaxTemplateBytes = 65536;
constexpr double kMinRepetition = 1e-6;  // logits are divided by it

constexpr Field biases(const char* name, Figure max_count, const char* note) {
  Field field{name, FieldType::kBiases};
  field.min = -100;
  field.max = 100;
  field.max_count = max_count;
  field.note = note;
  return field;
}
constexpr Field metadata() {
  Field field{"metadata", FieldType::kStringMap};
  field.max_count = 16;
  field.max_bytes = 512;
  field.note = "accepted; nothing is stored";
  return field;
}

double max_n(const ModelLimits& m) { return m.fields.max_n; }
double max_top_logprobs(const ModelLimits& m) { return m.fields.max_top_logprobs; }
double max_biases(const ModelLimits& m) { return static_cast<double>(m.fields.max_logit_bias); }
double temperature(const ModelLimits& m) { return m.defaults.temperature; }
double top_p(const ModelLimits& m) { return m.defaults.top_p; }
double top_k(const ModelLimits& m) { return m.defaults.top_k; }
double min_p(const ModelLimits& m) { return m.defaults.min_p; }
double repetition_penalty(const ModelLimits& m) { return m.defaults.repetition_penalty; }
double min_tokens(const ModelLimits& m) { return m.defaults.min_tokens; }

constexpr double kMaxDraftTokens = 16;

constexpr Field kCacheSalt =
    not_empty(string("cache_salt", kMaxLabelBytes, "cached for requests of the same salt alone"));

constexpr Field kStreamOptions[] = {
    flag("include_usage", "a last chunk with the usage").with_default(0),
    flag("continuous_usage_stats", "usage so far in every chunk").with_default(0),
    flag("include_obfuscation", "accepted; chunks are never padded"),
};

constexpr Field kGeneration[] = {
    string("model", kNoMaximum, "a served name; absent: the first"),
    number("temperature", 0, 2, "0: the likeliest token").with_default(temperature),
    number("top_p", 0, 1).with_default(top_p),
    integer("top_k", -1, kMaxInt, "0 or -1: off").with_default(top_k),
    number("min_p", 0, 1).with_default(min_p),
    above(number("repetition_penalty", kMinRepetition, 10)).with_default(repetition_penalty),
    number("presence_penalty", -2, 2).with_default(0),
    number("frequency_penalty", -2, 2).with_default(0),
    integer("min_tokens", 0, kMaxInt, "no end before this many").with_default(min_tokens),
    flag("ignore_eos", "the model's end tokens do not end the answer").with_default(0),
    integer("num_speculative_tokens", 0, kMaxDraftTokens,
            "guesses of a step from the text so far; the answer stays the same")
        .with_default(0),
    integer("seed", -kMaxSeed, kMaxSeed, "same seed, same answer"),
    integer("n", 1, max_n, "choices for each prompt").with_default(1),
    strings("stop", max_stops, max_stop_bytes, "ends the answer and is not part of it"),
    ids("stop_token_ids", 1024),
    ids("allowed_token_ids", kNoMaximum, "no other id is chosen"),
    strings("bad_words", 1024, max_stop_bytes, "never written, alone or behind a space"),
    flag("include_stop_str_in_output").with_default(0),
    biases("logit_bias", max_biases, "added to the logits of these token ids"),
    flag("stream", "server-sent events").with_default(0),
    object("stream_options", kStreamOptions),
    flag("skip_special_tokens").with_default(1),
    flag("spaces_between_special_tokens").with_default(1),
    integer("truncate_prompt_tokens", -1, kMaxInt, "keep this many last tokens; -1: what fits"),
    one_of("truncation_side", "left|right", "right: keep the first tokens instead"),
    integer("prompt_logprobs", 0, max_top_logprobs, "alternatives for each prompt token"),
    flag("return_token_ids").with_default(0),
    flag("return_tokens_as_token_ids", "logprobs name tokens \"token_id:5\"").with_default(0),
    flag("timings", "times of every stage in the answer").with_default(0),
    custom("guided_json", "what the answer's text must match"),
    custom("guided_regex"),
    custom("guided_choice"),
    custom("guided_grammar"),
    custom("guided_json_object"),
    custom("structured_outputs"),
    string("user", kMaxLabelBytes, "accepted and not used"),
    kCacheSalt,
};

constexpr Field kServiceTier = one_of(
    "service_tier", "auto|default|flex|scale|priority|fast|ultrafast", "echoed; there is one tier");

constexpr Field kTemplate[] = {
    flag("add_generation_prompt").with_default(1),
    flag("continue_final_message", "the last message is left open").with_default(0),
    flag("add_special_tokens", "absent: as the model's processor does"),
    string("chat_template", kMaxTemplateBytes, "refused unless the server allows it"),
    object("chat_template_kwargs", {}, "variables of the chat template"),
    custom("documents", "an array of objects for templates that know it"),
};

constexpr const char* kEfforts = "none|minimal|low|medium|high|xhigh|max";
constexpr Field kReasoning[] = {
    one_of("effort", kEfforts, "for templates that know it; none: no thinking"),
    one_of("summary", "auto|concise|detailed", "accepted; reasoning is shown whole"),
    one_of("generate_summary", "auto|concise|detailed", "accepted"),
    one_of("context", "auto|current_turn|all_turns", "accepted; the template decides"),
    refused_field("mode", "\"standard\""),
};

constexpr Field kChatReasoning[] = {
    one_of("effort", kEfforts, "for templates that know it; none: no thinking"),
    one_of("mode", "auto|fixed", "fixed: so many steps, then the answer"),
    integer("steps", 1, 16),
    not_empty(string("step_prefix", max_stop_bytes, "of each step; {n} is its number")),
    string("answer_prefix", max_stop_bytes),
    not_empty(string("step_stop", max_stop_bytes, "ends a step")),
    integer("step_max_tokens", 1, kMaxInt, "of one step; without: 200, or what fits"),
};

constexpr Field kPromptCache[] = {
    refused_field("prewarm", "false"),
    one_of("mode", "implicit|explicit"),
    one_of("ttl", "30m|12h"),
    string("comparison_response_id", kMaxLabelBytes),
};

constexpr Field kPromptCacheMark[] = {
    required(one_of("mode", "explicit")),
    one_of("ttl", "30m|12h"),
};
constexpr Field kCacheBreakpoint =
    object("prompt_cache_breakpoint", kPromptCacheMark, "accepted; prefixes are cached by content");

constexpr Field kPrediction[] = {
    required(one_of("type", "content")),
    required(custom("content")),
};

constexpr Field kChat[] = {
    required(custom("messages")),
    integer("max_tokens", 1, kMaxInt, "absent: what the model's length leaves"),
    integer("max_completion_tokens", 1, kMaxInt, "the newer name of max_tokens; wins"),
    flag("logprobs").with_default(0),
    integer("top_logprobs", 0, max_top_logprobs, "needs logprobs"),
    flag("echo", "with continue_final_message: the answer begins with it").with_default(0),
    flag("store", "accepted; chats are not stored"),
    metadata(),
    object("prediction", kPrediction, "accepted; changes nothing"),
    custom("modalities", "text alone"),
    refused_field("audio", "[]"),
    one_of("reasoning_effort", kEfforts, "for templates that know it; none: no thinking"),
    object("reasoning", kChatReasoning, "effort, or a fixed number of steps"),
    one_of("verbosity", "low|medium|high", "accepted; changes nothing"),
    string("safety_identifier", kMaxLabelBytes, "accepted and not used"),
    string("prompt_cache_key", kMaxLabelBytes, "accepted; prefixes are cached by content"),
    string("prompt_cache_retention", kMaxLabelBytes, "accepted; changes nothing"),
    object("prompt_cache_options", kPromptCache, "accepted; prefixes are cached by content"),
    refused_field("web_search_options", nullptr),
    refused_field("moderation", "[]"),
    refused_field("best_of", "1", "n draws several answers"),
    flag("include_reasoning", "false: it is left out of the answer").with_default(1),
    custom("tools"),
    custom("tool_choice"),
    flag("parallel_tool_calls", "false: one call at most"),
    custom("functions"),
    custom("function_call"),
    custom("response_format"),
    kServiceTier,
    one_of("media_mode", "auto|captions", "captions: videos as told by the model frame by frame"),
    string("caption_prompt", kMaxTemplateBytes, "what it is asked about each frame"),
    integer("caption_max_tokens", 1, 1024).with_default(64),
};

constexpr Field kCompletion[] = {
    custom("prompt"),
    integer("max_tokens", 0, kMaxInt, "0: with echo or prompt_logprobs").with_default(16),
    integer("logprobs", 0, max_top_logprobs, "alternatives for each token"),
    flag("echo", "the prompt in front of the answer").with_default(0),
    refused_field("suffix", "\"\"", "this model continues texts, it fills no gaps"),
    integer("best_of", 1, max_n, "generate so many, return the n likeliest"),
    flag("add_special_tokens").with_default(1),
};

constexpr Field kScore[] = {
    string("model", kNoMaximum),
    custom("prompt", "this or messages"),
    custom("messages"),
    required(custom("options", "continuations: texts, or lists of token ids")),
    flag("return_token_logprobs").with_default(0),
    kCacheSalt,
};

constexpr Field kEmbeddings[] = {
    string("model", kNoMaximum),
    custom("input", "this or messages"),
    custom("messages", "one vector, of texts and pictures"),
    one_of("encoding_format", "float|base64"),
    integer("dimensions", 1, kMaxInt, "refused"),
    one_of("pooling", "mean|last", "which hidden states"),
    flag("normalize", "to length 1").with_default(1),
    string("user", kMaxLabelBytes, "accepted and not used"),
    kCacheSalt,
};

constexpr Field kTokenize[] = {
    string("model", kNoMaximum),
    string("prompt", kMaxPromptBytes, "this or messages"),
    custom("messages"),
    flag("return_token_strs").with_default(0),
    string("content", kMaxPromptBytes, "as prompt, in llama-server's way: no special tokens"),
    flag("add_special", "with content: special tokens").with_default(0),
    flag("with_pieces", "with content: ids and texts").with_default(0),
    custom("tools"),
};

constexpr Field kDetokenize[] = {
    string("model", kNoMaximum),
    required(ids("tokens", 262144)),
};

constexpr Field kTextOptions[] = {
    custom("format", "what the answer's text must match"),
    one_of("verbosity", "low|medium|high", "accepted; changes nothing"),
};

constexpr Field kResponses[] = {
    required(custom("input", "a text, or items")),
    string("instructions", kNoMaximum, "a system message of this turn"),
    integer("max_output_tokens", 1, kMaxInt),
    string("previous_response_id", kMaxLabelBytes, "goes on from there"),
    flag("store", "keep for the next turn").with_default(1),
    integer("top_logprobs", 0, max_top_logprobs),
    custom("include", "message.output_text.logprobs"),
    metadata(),
    one_of("truncation", "auto|disabled",
           "auto: the oldest turns are left out where all do not fit"),
    kServiceTier,
    object("text", kTextOptions),
    object("reasoning", kReasoning),
    flag("parallel_tool_calls", "false: one call at most"),
    integer("max_tool_calls", 1, kMaxInt, "accepted; of tools that this server does not have"),
    refused_field("background", "false"),
    string("prompt_cache_retention", kMaxLabelBytes, "accepted; changes nothing"),
    object("prompt_cache_options", kPromptCache, "accepted; prefixes are cached by content"),
    object("image", {}, "accepted; pictures are never compressed"),
    object("access_programs", {}, "accepted and not used"),
    object("background_options", {}, "accepted; of background"),
    refused_field("context_management", "[]", "truncation drops the oldest turns"),
    refused_field("moderation", "[]"),
    refused_field("conversation", nullptr, "send input, or previous_response_id"),
    refused_field("prompt", nullptr, "send input, or previous_response_id"),
    custom("tools"),
    custom("tool_choice"),
    string("safety_identifier", kMaxLabelBytes, "accepted and not used"),
    string("prompt_cache_key", kMaxLabelBytes, "accepted; prefixes are cached by content"),
};

constexpr Field kSummaryPart[] = {
    one_of("type", "summary_text"),
    required(string("text", kNoMaximum)),
};

constexpr Field kResponsesItem[] = {
    string("type", kNoMaximum, "absent: message"),
    string("id", kMaxLabelBytes),
    one_of("role", "user|assistant|system|developer"),
    custom("content"),
    string("call_id", kMaxLabelBytes),
    string("name", kMaxLabelBytes),
    string("arguments", kNoMaximum),
    custom("output"),
    objects("summary", kSummaryPart, "of reasoning: accepted and not shown"),
    string("encrypted_content", kNoMaximum, "of reasoning: accepted; nothing of it can be read"),
    string("namespace", kMaxLabelBytes, "accepted and not used"),
    object("caller", {}, "accepted and not used"),
    one_of("status", "in_progress|completed|incomplete"),
    one_of("phase", "commentary|final_answer", "accepted"),
    refused_field("async", "false"),
};

constexpr const char* kDetails = "auto|low|high|original";

constexpr Field kResponsesPart[] = {
    required(string("type", kNoMaximum)),
    string("text", kNoMaximum),
    string("refusal", kNoMaximum),
    string("image_url", kNoMaximum),
    string("file_id", kNoMaximum),
    one_of("detail", kDetails),
    objects("annotations", {}, "of an earlier answer"),
    objects("logprobs", {}, "of an earlier answer"),
    kCacheBreakpoint,
};

constexpr Field kFile[] = {
    string("file_data", kNoMaximum, "text in UTF-8 or a picture: base64, or a data: URL"),
    string("file_id", kNoMaximum),
    string("file_url", kNoMaximum, "refused"),
    string("filename", kMaxLabelBytes, "stands above the text"),
};
constexpr Field kFileContentPart[] = {required(object("file", kFile)), kCacheBreakpoint};

constexpr Field kTextFormat[] = {
    required(one_of("type", "text|json_object|json_schema")),
    string("name", kMaxLabelBytes),
    string("description", kNoMaximum),
    object("schema", {}),
    flag("strict", "a schema is enforced in any case"),
};

constexpr Field kFileOfPart[] = {required(string("file_id", kNoMaximum))};
constexpr Field kChatMessage[] = {
    string("role", kNoMaximum),
    string("name", kNoMaximum),
    string("tool_call_id", kNoMaximum),
    string("refusal", kNoMaximum),
    objects("annotations", {}, "of an earlier answer"),
    string("reasoning_content", kNoMaximum),
    string("reasoning", kNoMaximum, "vLLM's name of reasoning_content"),
    refused_field("audio", nullptr, "earlier answers are text"),
};
constexpr Field kToolCall[] = {
    string("id", kNoMaximum),
    one_of("type", "function"),
};

// Of a tool on every route, but for the schema of its arguments.
constexpr Field kTool[] = {
    string("name", kNoMaximum),
    string("description", kNoMaximum),
    flag("strict", "absent: false; true on /v1/responses"),
    refused_field("async", "false"),
    flag("defer_loading", "accepted; every tool is shown"),
    custom("allowed_callers", "among them must be direct"),
    object("output_schema", {}, "accepted and not used"),
    object("cache_control", kCacheControl, "accepted; prefixes are cached by content"),
    flag("eager_input_streaming", "accepted; arguments are streamed in any case"),
    objects("input_examples", {}, "accepted and not shown"),
};

constexpr Field kFilePart[] = {required(object("image_file", kFileOfPart))};

constexpr Field kTextPart[] = {
    required(string("text", kNoMaximum)),
    kCacheBreakpoint,
};

constexpr Field kRefusalPart[] = {
    required(string("refusal", kNoMaximum)),
};

constexpr Field kDetail = one_of("detail", kDetails);
constexpr Field kImageDetail[] = {kDetail};
constexpr Field kImageUrl[] = {
    required(string("url", kNoMaximum, "data:image/...;base64,...")),
    kDetail,
};
constexpr Field kImagePart[] = {
    required(object("image_url", kImageUrl)),
    kCacheBreakpoint,
};

}  // namespace

const FieldTable kGenerationFields = kGeneration;
const FieldTable kChatFields = kChat;
const FieldTable kTemplateFields = kTemplate;
const FieldTable kCompletionFields = kCompletion;
const FieldTable kScoreFields = kScore;
const FieldTable kEmbeddingsFields = kEmbeddings;
const FieldTable kTokenizeFields = kTokenize;
const FieldTable kDetokenizeFields = kDetokenize;
const FieldTable kResponsesFields = kResponses;
const FieldTable kResponsesItemFields = kResponsesItem;
const FieldTable kResponsesPartFields = kResponsesPart;
const FieldTable kTextFormatFields = kTextFormat;
const FieldTable kTextPartFields = kTextPart;
const FieldTable kRefusalPartFields = kRefusalPart;
const FieldTable kImagePartFields = kImagePart;
const FieldTable kImageDetailFields = kImageDetail;
const FieldTable kFilePartFields = kFilePart;
const FieldTable kChatMessageFields = kChatMessage;
const FieldTable kToolCallFields = kToolCall;
const FieldTable kToolFields = kTool;
const FieldTable kFileFields = kFile;
const FieldTable kFileContentPartFields = kFileContentPart;

}  // namespace saccade::api
