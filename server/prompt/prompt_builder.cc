#include "server/prompt/prompt_builder.h"

#include <algorithm>

#include "server/prompt/picture_text.h"
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

size_t count_kind(std::span<const MediaLayout> media, MediaKind kind) {
  return static_cast<size_t>(std::count_if(
      media.begin(), media.end(), [&](const MediaLayout& one) { return one.kind == kind; }));
}

// Index of the n-th item of that kind, -1 when there are fewer.
int nth_of_kind(std::span<const MediaLayout> media, MediaKind kind, size_t n) {
  for (size_t i = 0; i < media.size(); ++i) {
    if (media[i].kind == kind && n-- == 0) return static_cast<int>(i);
  }
  return -1;
}

const char* type_name(ContentPart::Kind kind) {
  switch (kind) {
    case ContentPart::Kind::kImage:
      return "image";
    case ContentPart::Kind::kVideo:
      return "video";
    case ContentPart::Kind::kText:
    case ContentPart::Kind::kFile:
    case ContentPart::Kind::kStoredFile:
      break;
  }
  return "text";
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

// The tokenizer reads another token, or words, where the text shows the placeholder.
Status too_few_placeholders(const std::string& placeholder) {
  return invalid_argument("the tokenizer does not find every placeholder '" + placeholder +
                              "' of the pictures between these words",
                          "messages");
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
                             ModelTemplates templates, TemplateGlobals globals)
    : info_(std::move(info)),
      tokenizer_(std::move(tokenizer)),
      connector_tokenizer_(std::move(connector_tokenizer)),
      globals_(std::move(globals)) {
  if (info_.has_placeholders()) {
    placeholder_ = tokenizer_->token_text(info_.image_token);
  }
  if (info_.max_videos > 0) {
    video_visual_ = tokenizer_->token_text(info_.video_token);
    video_placeholder_ = info_.video_placeholder.empty() ? video_visual_ : info_.video_placeholder;
  }
  if (templates.chat) template_ = probe(*std::move(templates.chat));
  if (templates.tool_use) tool_template_ = probe(*std::move(templates.tool_use));
  if (info_.video_chat_template.empty()) return;
  Result<ChatTemplate> own = ChatTemplate::parse(info_.video_chat_template);
  if (own.ok()) video_template_ = probe(*std::move(own));
}

const PromptBuilder::ProbedTemplate* PromptBuilder::template_for(bool with_tools) const {
  if (with_tools && tool_template_) return &*tool_template_;
  return template_ ? &*template_ : nullptr;
}

bool PromptBuilder::shows_tools(bool with_tools) const {
  const ProbedTemplate* used = template_for(with_tools);
  return used != nullptr && used->chat_template.uses("tools");
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
      const bool text = part.kind == ContentPart::Kind::kText;
      std::vector<std::pair<std::string, TemplateValue>> entries = {
          {"type", TemplateValue::string(type_name(part.kind), false)}};
      if (text) entries.emplace_back("text", TemplateValue::string(part.text, true));
      parts.push_back(TemplateValue::dict(entries));
    }
    return TemplateValue::list(parts);
  }
  // The template knows strings only: the placeholders go in front of the words.
  std::vector<TextSegment> text;
  for (const ContentPart& part : message.parts) {
    if (part.kind == ContentPart::Kind::kText) continue;
    if (!info_.has_placeholders()) continue;  // nothing stands for it
    const bool video = part.kind == ContentPart::Kind::kVideo;
    text.push_back({(video ? video_placeholder_ : placeholder_) + "\n", false});
  }
  text.push_back({joined_text(message), true});
  return TemplateValue::text(text);
}

Result<std::vector<TextSegment>> PromptBuilder::render(const Conversation& conversation) const {
  if (conversation.chat_template.empty()) {
    const std::vector<const ContentPart*> media = conversation.media();
    const bool videos = std::any_of(media.begin(), media.end(), [](const ContentPart* part) {
      return part->kind == ContentPart::Kind::kVideo;
    });
    if (videos && video_template_) return render(*video_template_, conversation);
    const ProbedTemplate* used = template_for(!conversation.tools.empty());
    if (used != nullptr) return render(*used, conversation);
    std::vector<TextSegment> text = flatten(conversation);
    if (text.front().text.size() <= kMaxPromptBytes) return text;
    return invalid_argument(
        "the messages hold more than " + std::to_string(kMaxPromptBytes) + " bytes of text",
        "messages");
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
  if (!conversation.documents.empty()) {
    variables["documents"] = TemplateValue::from_json(conversation.documents, true);
  }
  for (const auto& [name, value] : conversation.template_kwargs.items()) {
    variables.emplace(name, TemplateValue::from_json(value, true));  // ours stay
  }
  if (!conversation.reasoning_effort.empty()) {  // what was sent by name stays
    const std::string& effort = conversation.reasoning_effort;
    variables.emplace("reasoning_effort", TemplateValue::string(effort, false));
    for (const char* name : {"enable_thinking", "thinking"}) {  // Qwen3's name, DeepSeek's
      variables.emplace(name, TemplateValue::boolean(effort != "none"));
    }
  }
  Result<std::vector<TextSegment>> rendered = probed.chat_template.render(variables);
  if (!rendered) return rendered.status().with_param("messages");
  if (conversation.continue_final_message)
    return cut_after_final_message(*std::move(rendered), conversation);
  return rendered;
}

Status PromptBuilder::check_counts(std::span<const MediaLayout> media) const {
  const size_t pictures = count_kind(media, MediaKind::kImage);
  const size_t videos = count_kind(media, MediaKind::kVideo);
  if (pictures > static_cast<size_t>(info_.max_images)) {
    return invalid_argument("the messages hold " + std::to_string(pictures) +
                                " pictures; this model takes at most " +
                                std::to_string(info_.max_images),
                            "messages");
  }
  if (videos > static_cast<size_t>(info_.max_videos)) {
    return invalid_argument("the messages hold " + std::to_string(videos) +
                                " videos; this model takes at most " +
                                std::to_string(info_.max_videos),
                            "messages");
  }
  for (const MediaLayout& one : media) {
    if (info_.image_tokens(one) > 0) continue;
    return invalid_argument("this model cannot take a picture of " +
                                std::to_string(one.original.width) + "x" +
                                std::to_string(one.original.height) + " pixels",
                            "messages");
  }
  return {};
}

Result<Prompt> PromptBuilder::build(const Conversation& conversation,
                                    std::span<const MediaLayout> media) const {
  if (Status status = check_counts(media); !status.ok()) return status;
  Result<std::vector<TextSegment>> text = render(conversation);
  if (!text) return text.status();
  // A multimodal processor adds BOS unless the text begins with it; for text alone the template has
  // to hold it.
  const bool by_tokenizer = !template_ || info_.placement != MediaPlacement::kNone;
  const bool as_reference =
      info_.adds_special_tokens && by_tokenizer && !begins_with(*text, globals_.bos_token);
  const bool add_special_tokens = conversation.add_special_tokens.value_or(as_reference);
  EncodeOptions options;
  options.add_special_tokens = add_special_tokens && !info_.bos_as_text;

  Prompt prompt;
  if (info_.has_placeholders()) {
    Result<std::vector<int>> shown = expand_placeholders(*text, media);
    if (!shown) return shown.status();
    if (add_special_tokens && info_.bos_as_text) {
      text->insert(text->begin(), {globals_.bos_token, false});
    }
    std::vector<TokenId> protect = {info_.image_token};
    if (info_.video_token >= 0) protect.push_back(info_.video_token);
    prompt.ids = tokenizer_->encode(*text, options, protect);
    Status placed = info_.placement == MediaPlacement::kBesidePrompt
                        ? find_looks(*shown, media, prompt)
                        : find_spans(*shown, media, prompt);
    if (!placed.ok()) return placed;
  } else if (info_.placement == MediaPlacement::kBesidePrompt) {
    prompt.ids = tokenizer_->encode(*text, options);
    for (const MediaLayout& item : media) {  // one at most
      MediaSpan& span = prompt.spans.emplace_back();
      span.length = static_cast<int>(prompt.ids.size());
      span.memory_rows = info_.image_tokens(item);
    }
  } else {
    for (size_t i = 0; i < media.size(); ++i) append_item(media[i], static_cast<int>(i), prompt);
    const std::vector<TokenId> ids = tokenizer_->encode(*text, options);
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());
  }
  if (info_.instruction_to_connector && !media.empty()) {
    prompt.instruction = instruction_ids(conversation);
  }
  return prompt;
}

Prompt PromptBuilder::build_text(std::string_view text, bool add_special_tokens) const {
  Prompt prompt;
  EncodeOptions options;
  const bool bos_as_text = add_special_tokens && info_.bos_as_text;
  options.add_special_tokens = add_special_tokens && !bos_as_text;
  const TextSegment segments[] = {{bos_as_text ? globals_.bos_token : std::string(), false},
                                  {std::string(text), true}};
  std::vector<TokenId> protect;
  if (info_.image_token >= 0) protect.push_back(info_.image_token);
  if (info_.video_token >= 0) protect.push_back(info_.video_token);
  prompt.ids = tokenizer_->encode(segments, options, protect);
  return prompt;
}

// Puts what each picture and video becomes in place of its placeholder, as the reference processors
// do before they tokenise: words around a picture merge with the text that stands in for it. What a
// user wrote never counts as a placeholder. Returns the items in the order the text shows them.
Result<std::vector<int>> PromptBuilder::expand_placeholders(
    std::vector<TextSegment>& text, std::span<const MediaLayout> media) const {
  std::vector<int> shown;
  size_t pictures = 0, videos = 0;  // placeholders so far
  for (TextSegment& segment : text) {
    if (segment.from_user) continue;
    std::string expanded;
    for (size_t from = 0;;) {
      const size_t picture = segment.text.find(placeholder_, from);
      const size_t video = video_placeholder_.empty() ? std::string::npos
                                                      : segment.text.find(video_placeholder_, from);
      const size_t at = std::min(picture, video);
      expanded.append(segment.text, from, at == std::string::npos ? at : at - from);
      if (at == std::string::npos) break;
      const MediaKind kind = video < picture ? MediaKind::kVideo : MediaKind::kImage;
      size_t& count = kind == MediaKind::kVideo ? videos : pictures;
      if (const int item = nth_of_kind(media, kind, count++); item >= 0) {
        expanded += item_text(media[static_cast<size_t>(item)]);
        shown.push_back(item);
      }
      from = at + (kind == MediaKind::kVideo ? video_placeholder_ : placeholder_).size();
    }
    segment.text = std::move(expanded);
  }
  if (!info_.single_token.empty()) {
    if (info_.trims_around_pictures) trim_around(text, info_.single_token);
    drop_doubles(text, info_.single_token);
    if (info_.space_behind_single_token) space_words(text, info_.single_token);
  }
  const auto differs = [&](MediaKind kind, size_t found, const char* what) {
    const size_t sent = count_kind(media, kind);
    return found == sent
               ? Status()
               : invalid_argument("the chat template shows " + std::to_string(found) + what +
                                      " where the messages hold " + std::to_string(sent),
                                  "messages");
  };
  if (Status status = differs(MediaKind::kImage, pictures, " pictures"); !status.ok())
    return status;
  if (Status status = differs(MediaKind::kVideo, videos, " videos"); !status.ok()) return status;
  return shown;
}

std::string PromptBuilder::item_text(const MediaLayout& item) const {
  const std::string& visual = item.kind == MediaKind::kVideo ? video_visual_ : placeholder_;
  if (info_.image_text) return info_.image_text(item, visual);
  if (info_.placement == MediaPlacement::kBesidePrompt) return visual;
  std::string text;
  for (int i = info_.image_tokens(item); i > 0; --i) text += visual;
  return text;
}

TokenId PromptBuilder::visual_id(const MediaLayout& item) const {
  return item.kind == MediaKind::kVideo ? info_.video_token : info_.image_token;
}

// The runs of placeholders in `prompt.ids`, dealt out to the items in the order they are shown.
Status PromptBuilder::find_spans(std::span<const int> shown, std::span<const MediaLayout> media,
                                 Prompt& prompt) const {
  const auto end = static_cast<int>(prompt.ids.size());
  int position = 0;
  for (const int item : shown) {
    const MediaLayout& layout = media[static_cast<size_t>(item)];
    const TokenId visual = visual_id(layout);
    const int tokens = info_.image_tokens(layout);
    const TokenGrid grid = info_.token_grid ? info_.token_grid(layout) : TokenGrid{};
    for (int placed = 0; placed < tokens;) {
      while (position < end && prompt.ids[position] != visual) ++position;
      const int start = position;
      const int most = std::min(end, start + tokens - placed);
      while (position < most && prompt.ids[position] == visual) ++position;
      if (position == start) {
        return too_few_placeholders(visual == info_.image_token ? placeholder_ : video_visual_);
      }
      prompt.spans.push_back({start, position - start, item, placed, grid});
      placed += position - start;
    }
    prompt.image_tokens += tokens;
  }
  return {};
}

// From each placeholder on the text looks at that picture: up to the next one, an end token that
// hides it, or the end.
Status PromptBuilder::find_looks(std::span<const int> shown, std::span<const MediaLayout> media,
                                 Prompt& prompt) const {
  const std::optional<TokenId> end =
      info_.end_token_hides_pictures ? tokenizer_->eos_id() : std::nullopt;
  bool looking = false;
  for (size_t i = 0; i < prompt.ids.size(); ++i) {
    const auto position = static_cast<int>(i);
    if (prompt.ids[i] == info_.image_token) {
      if (prompt.spans.size() == shown.size()) break;
      const int item = shown[prompt.spans.size()];
      MediaSpan& span = prompt.spans.emplace_back();
      span.position = position;
      span.media = item;
      span.memory_rows = info_.image_tokens(media[static_cast<size_t>(item)]);
      looking = true;
    }
    if (looking) prompt.spans.back().length = position + 1 - prompt.spans.back().position;
    if (prompt.ids[i] == end) looking = false;
  }
  prompt.image_tokens = static_cast<int>(shown.size());
  return prompt.spans.size() == shown.size() ? Status() : too_few_placeholders(placeholder_);
}

void PromptBuilder::append_item(const MediaLayout& item, int index, Prompt& prompt) const {
  const int tokens = info_.image_tokens(item);
  prompt.spans.push_back({static_cast<int>(prompt.ids.size()), tokens, index, 0, {}});
  prompt.ids.insert(prompt.ids.end(), static_cast<size_t>(tokens), visual_id(item));
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
