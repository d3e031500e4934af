#pragma once

// Chat templates: the Jinja dialect of Hugging Face checkpoints, rendered as transformers does
// (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, {% generation %},
// tojson, raise_exception, strftime_now), to text that tells the template's own words from the
// user's. Reference: jinja2 3.1 and transformers.utils.chat_template_utils.

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "server/prompt/text_segment.h"

namespace saccade {

namespace jinja {
class Value;
struct Template;
}  // namespace jinja

// A JSON-like value whose strings remember whether a user wrote them. Immutable; copies share.
// What is nested deeper than the interpreter goes (200 levels) or is too large for it is an error
// of the rendering that uses it.
class TemplateValue {
 public:
  TemplateValue();  // none

  // Every string, key and number below is marked `from_user`.
  static TemplateValue from_json(const nlohmann::ordered_json& json, bool from_user);
  static TemplateValue boolean(bool value);
  static TemplateValue string(std::string_view text, bool from_user);
  // One string of pieces with different marks.
  static TemplateValue text(const std::vector<TextSegment>& segments);
  static TemplateValue list(const std::vector<TemplateValue>& items);
  // Keys are ours. Later entries replace earlier ones of the same key.
  static TemplateValue dict(const std::vector<std::pair<std::string, TemplateValue>>& entries);

  const jinja::Value& value() const { return *value_; }

 private:
  explicit TemplateValue(jinja::Value value);
  std::shared_ptr<const jinja::Value> value_;
};

// What one rendering may spend; more is an error. The defaults leave room for conversations of
// thousands of turns.
struct TemplateBudget {
  int64_t max_steps = 1000000;                        // syntax nodes and data elements visited
  size_t max_output_bytes = size_t{8} * 1024 * 1024;  // the output, and any one string on the way
  int max_depth = 1000;                               // nodes within nodes, macros included
};

class ChatTemplate {
 public:
  // InvalidArgument with the line and what is wrong.
  static Result<ChatTemplate> parse(std::string source);

  // Globals: messages, tools, add_generation_prompt, bos_token, eos_token, ... `now`: what
  // strftime_now tells, in local time; the clock when not given. A failing template is
  // InvalidArgument with its own message quoted. Adjacent segments differ in their mark.
  Result<std::vector<TextSegment>> render(const std::map<std::string, TemplateValue>& globals,
                                          const TemplateBudget& budget = {},
                                          std::optional<std::time_t> now = {}) const;

  // Whether the template reads a global of that name (e.g. "tools").
  bool uses(std::string_view variable) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Template> parsed);
  std::shared_ptr<const jinja::Template> parsed_;  // immutable: renderings may run concurrently
};

}  // namespace saccade
