#include "server/prompt/prompt_builder.h"

#include <algorithm>

#include "server/prompt/tool_prompt.h"

namespace saccade {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kProbeText = "saccade probe";

std::string joined_text(const ChatMessage& message) {
  std::string text;
  for (const ContentPart& part : message.parts) {
    if (part.kind != ContentPart::Kind::kText) continue;
    if (!text.empty()) text += '\n';
    text += part.text;
  }
  return text;
}

size_t count_images(const ChatMessage& message) {
  return static_cast<size_t>(std::count_if(
      message.parts.begin(), message.parts.end(),
      [](const ContentPart& part) { return part.kind == ContentPart::Kind::kImage; }));
}

// Of the template's own words: what a user wrote never counts as the token.
bool begins_with(const std::vector<TextSegment>& segments, const std::string& token) {
  return !token.empty() && !segments.empty() && !segments.front().from_user &&
         segments.front().text.starts_with(token);
}

// Without a template the prompt is what was said, one line for each turn.
std::vector<TextSegment> flatten(const Conversation& conversation) {
  std::string text;
  for (const ChatMessage& message : conversation.messages) {
    if (!text.empty()) text += '\n';
    text += joined_text(message);
  }
  return {{std::move(text), true}};
}

std::string plain_text(const std::vector<TextSegment>& segments) {
  std::string text;
  for (const TextSegment& segment : segments) text += segment.text;
  return text;
}

std::string_view trimmed(std::string_view text) {
  const char* kSpace = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Drops what the template wrote after the last message's words, as transformers'
// continue_final_message does: trailing white space of the words stays where it was printed.
Result<std::vector<TextSegment>> cut_after_final_message(std::vector<TextSegment> rendered,
                                                         const Conversation& conversation) {
  const auto& parts = conversation.messages.back().parts;
  const std::string words = parts.empty() ? std::string() : parts.back().text;
  const std::string text = plain_text(rendered);
  const std::string_view core = trimmed(words);
  const size_t found = text.rfind(core);
  if (core.empty() || found == std::string::npos) {
    return invalid_argument(
        "the chat template does not show the final message, so it cannot be continued",
        "continue_final_message");
  }
  const std::string_view tail =
      std::string_view(words).substr(static_cast<size_t>(core.data() - words.data()));
  size_t keep = found + (text.compare(found, tail.size(), tail) == 0 ? tail.size() : core.size());
  std::vector<TextSegment> kept;
  for (TextSegment& segment : rendered) {
    if (keep == 0) break;
    segment.text.resize(std::min(keep, segment.text.size()));
    keep -= segment.text.size();
    kept.push_back(std::move(segment));
  }
  return kept;
}

}  // namespace

PromptBuilder::PromptBuilder(ModelInfo info, std::shared_ptr<const Tokenizer> tokenizer,
                             std::shared_ptr<const Tokenizer> connector_tokenizer,
                             std::optional<ChatTemplate> chat_template, TemplateGlobals globals)
    : info_(std::move(info)),
      tokenizer_(std::move(tokenizer)),
      connector_tokenizer_(std::move(connector_tokenizer)),
      globals_(std::move(globals)) {
  if (info_.placement == MediaPlacement::kAtPlaceholder) {
    placeholder_ = tokenizer_->token_text(info_.image_token);
  }
  if (chat_template) template_ = probe(*std::move(chat_template));
}

PromptBuilder::ProbedTemplate PromptBuilder::probe(ChatTemplate chat_template) const {
  ProbedTemplate probed{std::move(chat_template)};
  const Json part = {{"type", "text"}, {"text", kProbeText}};
  probed.takes_parts = shows(probed.chat_template, Json::array({part}));
  probed.takes_strings = shows(probed.chat_template, kProbeText) || !probed.takes_parts;
  return probed;
}

// Whether the template prints a message's content of this shape, as words and not as the shape.
bool PromptBuilder::shows(const ChatTemplate& chat_template, const Json& content) const {
  const Json messages = Json::array({{{"role", "user"}, {"content", content}}});
  const auto rendered =
      chat_template.render(globals(TemplateValue::from_json(messages, false), true));
  if (!rendered) return false;
  const std::string text = plain_text(*rendered);
  return text.find(kProbeText) != std::string::npos && text.find("'type'") == std::string::npos &&
         text.find("\"type\"") == std::string::npos;
}

std::map<std::string, TemplateValue> PromptBuilder::globals(TemplateValue messages,
                                                            bool add_generation_prompt) const {
  return {{"messages", std::move(messages)},
          {"add_generation_prompt", TemplateValue::boolean(add_generation_prompt)},
          {"tools", TemplateValue()},
          {"documents", TemplateValue()},
          {"bos_token", TemplateValue::string(globals_.bos_token, false)},
          {"eos_token", TemplateValue::string(globals_.eos_token, false)}};
}

TemplateValue PromptBuilder::content_value(const ProbedTemplate& probed,
                                           const ChatMessage& message) const {
  if (!message.has_content) return TemplateValue();
  if (probed.takes_parts && !(message.plain_string && probed.takes_strings)) {
    std::vector<TemplateValue> parts;
    for (const ContentPart& part : message.parts) {
      const bool image = part.kind == ContentPart::Kind::kImage;
      std::vector<std::pair<std::string, TemplateValue>> entries = {
          {"type", TemplateValue::string(image ? "image" : "text", false)}};
      if (!image) entries.emplace_back("text", TemplateValue::string(part.text, true));
      parts.push_back(TemplateValue::dict(entries));
    }
    return TemplateValue::list(parts);
  }
  // The template knows strings only: the pictures' placeholders go in front of the words.
  std::vector<TextSegment> text;
  for (size_t i = 0; i < count_images(message); ++i) text.push_back({placeholder_ + "\n", false});
  text.push_back({joined_text(message), true});
  return TemplateValue::text(text);
}

Result<std::vector<TextSegment>> PromptBuilder::render(const Conversation& conversation) const {
  if (conversation.chat_template.empty()) {
    return template_ ? render(*template_, conversation) : flatten(conversation);
  }
  Result<ChatTemplate> own = ChatTemplate::parse(conversation.chat_template);
  if (!own) return own.status().with_param("chat_template");
  return render(probe(*std::move(own)), conversation);
}

Result<std::vector<TextSegment>> PromptBuilder::render(const ProbedTemplate& probed,
                                                       const Conversation& conversation) const {
  std::vector<TemplateValue> messages;
  for (const ChatMessage& message : conversation.messages) {
    std::vector<std::pair<std::string, TemplateValue>> entries = {
        {"role", TemplateValue::string(message.role, false)},
        {"content", content_value(probed, message)}};
    for (const auto& [name, value] : message.extra.items()) {
      const bool calls = name == "tool_calls";
      entries.emplace_back(
          name, TemplateValue::from_json(calls ? with_parsed_arguments(value) : value, true));
    }
    messages.push_back(TemplateValue::dict(entries));
  }
  auto variables = globals(TemplateValue::list(messages), conversation.add_generation_prompt);
  if (!conversation.tools.empty()) {
    variables["tools"] = TemplateValue::from_json(conversation.tools, true);
  }
  for (const auto& [name, value] : conversation.template_kwargs.items()) {
    variables.emplace(name, TemplateValue::from_json(value, true));  // ours stay
  }
  Result<std::vector<TextSegment>> rendered = probed.chat_template.render(variables);
  if (!rendered) return rendered.status().with_param("messages");
  if (conversation.continue_final_message)
    return cut_after_final_message(*std::move(rendered), conversation);
  return rendered;
}

Result<Prompt> PromptBuilder::build(const Conversation& conversation,
                                    std::span<const ImageSize> sizes) const {
  if (sizes.size() > static_cast<size_t>(info_.max_images)) {
    return invalid_argument("the messages hold " + std::to_string(sizes.size()) +
                                " pictures; this model takes at most " +
                                std::to_string(info_.max_images),
                            "messages");
  }
  Result<std::vector<TextSegment>> text = render(conversation);
  if (!text) return text.status();
  // A multimodal processor adds BOS unless the text begins with it; for text alone the template has
  // to hold it.
  const bool by_tokenizer = !template_ || info_.placement != MediaPlacement::kNone;
  const bool as_reference =
      info_.adds_special_tokens && by_tokenizer && !begins_with(*text, globals_.bos_token);
  EncodeOptions options;
  options.add_special_tokens = conversation.add_special_tokens.value_or(as_reference);

  Prompt prompt;
  if (info_.placement == MediaPlacement::kAtPlaceholder) {
    const TokenId protect[] = {info_.image_token};
    const Status status = place_images(tokenizer_->encode(*text, options, protect), sizes, prompt);
    if (!status.ok()) return status;
  } else {
    for (size_t i = 0; i < sizes.size(); ++i) append_image(sizes[i], static_cast<int>(i), prompt);
    const std::vector<TokenId> ids = tokenizer_->encode(*text, options);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  }
  if (info_.instruction_to_connector && !sizes.empty()) {
    prompt.instruction = instruction_ids(conversation);
  }
  return prompt;
}

Prompt PromptBuilder::build_text(std::string_view text, bool add_special_tokens) const {
  Prompt prompt;
  EncodeOptions options;
  options.add_special_tokens = add_special_tokens;
  const TextSegment segments[] = {{std::string(text), true}};
  std::vector<TokenId> protect;
  if (info_.image_token >= 0) protect.push_back(info_.image_token);
  prompt.ids = tokenizer_->encode(segments, options, protect);
  return prompt;
}

// Copies `ids`, each placeholder grown to its picture's length.
Status PromptBuilder::place_images(const std::vector<TokenId>& ids,
                                   std::span<const ImageSize> sizes, Prompt& prompt) const {
  const auto placeholders =
      static_cast<size_t>(std::count(ids.begin(), ids.end(), info_.image_token));
  if (placeholders != sizes.size()) {
    return invalid_argument("the chat template shows " + std::to_string(placeholders) +
                                " pictures where the messages hold " + std::to_string(sizes.size()),
                            "messages");
  }
  int next = 0;
  for (const TokenId id : ids) {
    if (id == info_.image_token) {
      append_image(sizes[next], next, prompt);
      ++next;
    } else {
      prompt.ids.push_back(id);
    }
  }
  return {};
}

void PromptBuilder::append_image(ImageSize size, int index, Prompt& prompt) const {
  const int tokens = info_.image_tokens(size);
  prompt.spans.push_back({static_cast<int>(prompt.ids.size()), tokens, index, 0});
  prompt.ids.insert(prompt.ids.end(), static_cast<size_t>(tokens), info_.image_token);
  prompt.image_tokens += tokens;
}

// The connector reads the question: the words of the last user turn.
std::vector<TokenId> PromptBuilder::instruction_ids(const Conversation& conversation) const {
  const auto& messages = conversation.messages;
  const auto last_user =
      std::find_if(messages.rbegin(), messages.rend(),
                   [](const ChatMessage& message) { return message.role == "user"; });
  EncodeOptions options;
  options.truncate = true;
  options.max_length = info_.max_instruction_tokens;
  const TextSegment segments[] = {
      {last_user == messages.rend() ? std::string() : joined_text(*last_user), true}};
  return connector_tokenizer_->encode(segments, options);
}

}  // namespace saccade
