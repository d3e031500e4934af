#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/model_info.h"
#include "server/prompt/conversation.h"
#include "server/prompt/template/chat_template.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade {

// Token ids of a prompt, the visual positions filled with the placeholder's id.
struct Prompt {
  std::vector<TokenId> ids;
  std::vector<MediaSpan> spans;  // ascending; a picture has one for each run of its visual tokens
  // For an instruction-aware connector: what it reads beside the pixels. Else empty.
  std::vector<TokenId> instruction;
  int image_tokens = 0;  // of ids
};

// Of a prompt's text; what a template writes has the same bound.
inline constexpr size_t kMaxPromptBytes = TemplateBudget().max_output_bytes;

// What the template may use besides the messages.
struct TemplateGlobals {
  std::string bos_token;
  std::string eos_token;
};

// What a model's chats are written by.
struct ModelTemplates {
  std::optional<ChatTemplate> chat;
  std::optional<ChatTemplate> tool_use;  // in its place where a chat brings tools
};

// Turns messages into the ids that the family's Hugging Face processor makes of them. Immutable;
// any thread may use it. Text of users never becomes a special token.
class PromptBuilder {
 public:
  // `connector_tokenizer` is null unless info.instruction_to_connector. Without a template the
  // prompt is the text of the messages, one line for each turn.
  PromptBuilder(ModelInfo info, std::shared_ptr<const Tokenizer> tokenizer,
                std::shared_ptr<const Tokenizer> connector_tokenizer, ModelTemplates templates,
                TemplateGlobals globals);

  // `media` are what the conversation's pictures and videos become, in order. InvalidArgument (with
  // `param`): too many of them, a template that fails, or one that does not show every one once.
  Result<Prompt> build(const Conversation& conversation, std::span<const MediaLayout> media) const;

  // Whether the template of chats with (or without) tools knows them: describes them itself, and
  // writes calls and results of earlier turns.
  bool shows_tools(bool with_tools) const;

  // A raw prompt, as /v1/completions has it.
  Prompt build_text(std::string_view text, bool add_special_tokens) const;

 private:
  // A chat template and what contents it knows to print.
  struct ProbedTemplate {
    ChatTemplate chat_template;
    bool takes_parts = false;   // it walks over lists of content parts
    bool takes_strings = true;  // it prints a content that is a string
  };
  ProbedTemplate probe(ChatTemplate chat_template) const;
  const ProbedTemplate* template_for(bool with_tools) const;  // null: there is none
  bool shows(const ChatTemplate& chat_template, const nlohmann::ordered_json& content) const;
  Result<std::vector<TextSegment>> render(const Conversation& conversation) const;
  Result<std::vector<TextSegment>> render(const ProbedTemplate& probed,
                                          const Conversation& conversation) const;
  std::map<std::string, TemplateValue> globals(TemplateValue messages,
                                               bool add_generation_prompt) const;
  TemplateValue content_value(const ProbedTemplate& probed, const ChatMessage& message) const;
  Status check_counts(std::span<const MediaLayout> media) const;
  Result<std::vector<int>> expand_placeholders(std::vector<TextSegment>& text,
                                               std::span<const MediaLayout> media) const;
  std::string item_text(const MediaLayout& item) const;
  TokenId visual_id(const MediaLayout& item) const;
  Status find_looks(std::span<const int> shown, std::span<const MediaLayout> media,
                    Prompt& prompt) const;
  Status find_spans(std::span<const int> shown, std::span<const MediaLayout> media,
                    Prompt& prompt) const;
  std::vector<TokenId> instruction_ids(const Conversation& conversation) const;
  void append_item(const MediaLayout& item, int index, Prompt& prompt) const;

  const ModelInfo info_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const Tokenizer> connector_tokenizer_;
  const TemplateGlobals globals_;
  std::optional<ProbedTemplate> template_;
  std::optional<ProbedTemplate> tool_template_;   // in its place where there are tools
  std::optional<ProbedTemplate> video_template_;  // in its place where there are videos
  std::string placeholder_;        // text of info.image_token; empty when there is none
  std::string video_placeholder_;  // what templates write for a video; empty when it takes none
  std::string video_visual_;       // text of info.video_token
};

}  // namespace saccade
