#include "server/prompt/template/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/parser.h"
#include "server/prompt/template/unicode.h"

namespace saccade {
namespace {

using jinja::TemplateError;
using jinja::Value;

constexpr int kMaxJsonDepth = jinja::kMaxValueDepth - 10;  // room for what a template wraps around
constexpr size_t kMaxSourceBytes = size_t{1} << 20;

Value string_value(std::string_view text, bool from_user) {
  if (!jinja::is_valid_utf8(text)) return Value::poison("a string is not valid UTF-8");
  return Value::string(text, from_user);
}

Value convert(const nlohmann::ordered_json& json, bool from_user, int depth) {
  if (depth > kMaxJsonDepth) return Value::poison("the request's JSON is nested too deeply");
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return Value::boolean(json.get<bool>(), from_user);
    case nlohmann::ordered_json::value_t::number_integer:
      return Value::integer(json.get<int64_t>(), from_user);
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const uint64_t number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX)) return Value::big_integer(number, from_user);
      return Value::integer(static_cast<int64_t>(number), from_user);
    }
    case nlohmann::ordered_json::value_t::number_float:
      return Value::real(json.get<double>(), from_user);
    case nlohmann::ordered_json::value_t::string:
      return string_value(json.get_ref<const std::string&>(), from_user);
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(item, from_user, depth + 1));
      return Value::list(std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      std::vector<jinja::Entry> entries;
      entries.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        entries.emplace_back(string_value(key, from_user), convert(item, from_user, depth + 1));
      }
      return Value::dict(std::move(entries));
    }
    default:
      return Value::none();
  }
}

// What is too large becomes a value that fails the rendering that uses it.
template <typename Make>
Value guarded(Make&& make) {
  try {
    return make();
  } catch (const TemplateError& error) {
    return Value::poison(error.what());
  }
}

std::string at_line(const TemplateError& error) {
  return error.line > 0 ? " (line " + std::to_string(error.line) + ")" : "";
}

}  // namespace

TemplateValue::TemplateValue() : TemplateValue(Value::none()) {}
TemplateValue::TemplateValue(Value value)
    : value_(std::make_shared<const Value>(std::move(value))) {}

TemplateValue TemplateValue::from_json(const nlohmann::ordered_json& json, bool from_user) {
  return TemplateValue(guarded([&] { return convert(json, from_user, 0); }));
}

TemplateValue TemplateValue::boolean(bool value) { return TemplateValue(Value::boolean(value)); }

TemplateValue TemplateValue::string(std::string_view text, bool from_user) {
  return TemplateValue(string_value(text, from_user));
}

TemplateValue TemplateValue::text(const std::vector<TextSegment>& segments) {
  jinja::MarkedText text;
  for (const TextSegment& segment : segments) text.append(segment.text, segment.from_user);
  return TemplateValue(Value::string(std::move(text)));
}

TemplateValue TemplateValue::list(const std::vector<TemplateValue>& items) {
  return TemplateValue(guarded([&] {
    std::vector<Value> values;
    values.reserve(items.size());
    for (const TemplateValue& item : items) values.push_back(item.value());
    return Value::list(std::move(values));
  }));
}

TemplateValue TemplateValue::dict(
    const std::vector<std::pair<std::string, TemplateValue>>& entries) {
  return TemplateValue(guarded([&] {
    std::vector<jinja::Entry> values;
    values.reserve(entries.size());
    for (const auto& [key, item] : entries) {
      values.emplace_back(string_value(key, false), item.value());
    }
    return Value::dict(std::move(values));
  }));
}

ChatTemplate::ChatTemplate(std::shared_ptr<const jinja::Template> parsed)
    : parsed_(std::move(parsed)) {}

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  if (source.size() > kMaxSourceBytes) return invalid_argument("the chat template is too long");
  try {
    return ChatTemplate(std::make_shared<const jinja::Template>(jinja::parse_template(source)));
  } catch (const TemplateError& error) {
    return invalid_argument("the chat template does not parse: " + std::string(error.what()) +
                            at_line(error));
  }
}

Result<std::vector<TextSegment>> ChatTemplate::render(
    const std::map<std::string, TemplateValue>& globals, const TemplateBudget& budget,
    std::optional<std::time_t> now) const {
  try {
    std::vector<Value> values;
    values.reserve(parsed_->names.size());
    for (const std::string& name : parsed_->names) {
      const auto given = globals.find(name);
      values.push_back(given != globals.end() ? given->second.value() : jinja::find_global(name));
    }
    jinja::Interpreter interpreter(
        *parsed_, std::move(values),
        jinja::Budget(budget.max_steps, budget.max_output_bytes, budget.max_depth), now);
    return interpreter.run().segments();
  } catch (const TemplateError& error) {
    if (error.raised) {
      return invalid_argument("the chat template refuses this request: \"" +
                              std::string(error.what()) + "\"");
    }
    return invalid_argument("the chat template failed: \"" + std::string(error.what()) + "\"" +
                            at_line(error));
  }
}

bool ChatTemplate::uses(std::string_view variable) const {
  const auto& names = parsed_->free_names;
  return std::find(names.begin(), names.end(), variable) != names.end();
}

}  // namespace saccade
