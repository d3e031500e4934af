// The fields of Anthropic's API.

#include "server/api/fields/field_makers.h"
#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

using namespace makers;

constexpr Field kThinking[] = {
    required(one_of("type", "enabled|disabled|adaptive|between_tools")),
    integer("budget_tokens", 1, kMaxInt, "accepted; max_tokens is the bound"),
    one_of("display", "summarized|omitted", "accepted; thinking is shown whole"),
};

constexpr Field kOutputConfig[] = {
    object("format", {}, "a JSON schema that the answer's text matches"),
    one_of("effort", "low|medium|high|xhigh|max", "for templates that know it"),
};

constexpr Field kMessageMetadata[] = {string("user_id", kMaxLabelBytes)};

constexpr Field kMessages[] = {
    required(custom("messages")),
    integer("max_tokens", 1, kMaxInt),
    custom("system", "a text, or text blocks"),
    number("temperature", 0, 1),
    strings("stop_sequences", max_stops, max_stop_bytes),
    object("metadata", kMessageMetadata, "accepted and not used"),
    one_of("service_tier", "auto|standard_only", "accepted; there is one tier"),
    object("thinking", kThinking, "for templates that can leave it out"),
    object("output_config", kOutputConfig),
    object("cache_control", kCacheControl, "accepted; prefixes are cached by content"),
    one_of("speed", "standard|fast", "accepted; there is one speed"),
    string("inference_geo", kMaxLabelBytes, "accepted and not used"),
    string("user_profile_id", kMaxLabelBytes, "accepted and not used"),
    refused_field("thread", nullptr, "send the whole conversation"),
    refused_field("compaction", nullptr),
    object("context_management", {}, "accepted; nothing is left out of the messages"),
    custom("fallbacks", "accepted; there is one model"),
    custom("fallback_credit_token", "accepted and not used"),
    object("billing_policy", {}, "accepted and not used"),
    refused_field("container", nullptr),
    refused_field("diagnostics", nullptr),
    refused_field("mcp_servers", "[]"),
    custom("tools"),
    custom("tool_choice"),
};

constexpr Field kOutputFormat[] = {
    required(one_of("type", "json_schema")),
    required(object("schema", {})),
};

constexpr Field kMessage[] = {
    required(one_of("role", "user|assistant|system")),
    required(custom("content", "a text, or blocks")),
};

constexpr Field kTransformations[] = {
    one_of("oversized_image", "downsize", "every picture is scaled to what the model takes"),
};

constexpr Field kMessageBlock[] = {
    required(string("type", kNoMaximum)),
    string("text", kNoMaximum),
    string("thinking", kNoMaximum),
    string("signature", kNoMaximum, "of thinking: accepted and not checked"),
    string("data", kNoMaximum, "of redacted_thinking: accepted; nothing of it can be read"),
    custom("source", "an object; of a search result where it was found"),
    string("id", kMaxLabelBytes),
    string("name", kMaxLabelBytes),
    object("input", {}),
    object("caller", {}, "accepted and not used"),
    string("toolset_name", kMaxLabelBytes, "accepted and not used"),
    object("transformations", kTransformations),
    string("tool_use_id", kMaxLabelBytes),
    custom("content"),
    flag("is_error"),
    string("title", kNoMaximum, "of a document or search result: stands before its text"),
    string("context", kNoMaximum, "of a document, too"),
    custom("citations", "of a document: enabled is refused"),
    object("cache_control", kCacheControl, "accepted; prefixes are cached by content"),
};

constexpr Field kMessageSource[] = {
    required(one_of("type", "base64|url|file")),
    string("media_type", kMaxLabelBytes),
    string("data", kNoMaximum),
    string("url", kNoMaximum),
    string("file_id", kNoMaximum),
};

constexpr Field kDocumentSource[] = {
    required(one_of("type", "text|content|file|base64|url", "the last two, PDF, are refused")),
    one_of("media_type", "text/plain|application/pdf"),
    string("data", kNoMaximum),
    string("file_id", kNoMaximum, "a stored text or picture"),
    custom("content"),
};

}  // namespace

const FieldTable kMessagesFields = kMessages;
const FieldTable kOutputFormatFields = kOutputFormat;
const FieldTable kMessageFields = kMessage;
const FieldTable kMessageBlockFields = kMessageBlock;
const FieldTable kMessageSourceFields = kMessageSource;
const FieldTable kDocumentSourceFields = kDocumentSource;

}  // namespace saccade::api
