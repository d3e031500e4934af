#include "server/prompt/tokenizer/json_node.h"

#include "engine/core/status.h"
#include "engine/weights/mapped_file.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {

void JsonNode::fail(const std::string& why) const {
  throw LoadError(where_ + (where_.ends_with(':') ? " " : ": ") + why);
}

const std::string& JsonNode::string() const {
  if (!value_->is_string()) fail("expected a string");
  return value_->get_ref<const std::string&>();
}

void JsonNode::check_depth(int depth) const {
  constexpr int kMaxDepth = 16;
  if (depth > kMaxDepth) fail("nested too deeply");
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) fail("expected true or false");
  return value_->get<bool>();
}

int64_t JsonNode::integer(int64_t low, int64_t high) const {
  if (!value_->is_number_integer()) fail("expected an integer");
  // An unsigned value above the signed range would wrap in get<int64_t>().
  const bool huge =
      value_->is_number_unsigned() && value_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  if (huge || value_->get<int64_t>() < low || value_->get<int64_t>() > high) {
    fail("expected an integer from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value_->get<int64_t>();
}

double JsonNode::number() const {
  if (!value_->is_number()) fail("expected a number");
  return value_->get<double>();
}

char32_t JsonNode::character() const {
  const std::string& text = string();
  if (text.empty() || unicode::utf8_length(static_cast<unsigned char>(text[0])) != text.size()) {
    fail("expected a string of one character");
  }
  return unicode::char_at(text, 0);
}

size_t JsonNode::size() const {
  if (!value_->is_array() && !value_->is_object()) fail("expected a list or an object");
  return value_->size();
}

JsonNode JsonNode::item(size_t index) const {
  if (!value_->is_array()) fail("expected a list");
  if (index >= value_->size()) fail("expected more than " + std::to_string(index) + " entries");
  return JsonNode((*value_)[index], where_ + "[" + std::to_string(index) + "]");
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) fail("expected a list");
  std::vector<JsonNode> out;
  out.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) out.push_back(item(i));
  return out;
}

bool JsonNode::has(const char* key) const { return find(key).has_value(); }

JsonNode JsonNode::at(const char* key) const {
  if (!value_->is_object()) fail("expected an object");
  const auto found = value_->find(key);
  const char* border = !where_.empty() && where_.back() == ':' ? " " : ".";
  const std::string where = where_ + border + key;
  if (found == value_->end()) throw LoadError(where + ": missing");
  return JsonNode(*found, where);
}

std::optional<JsonNode> JsonNode::find(const char* key) const {
  if (!value_->is_object()) fail("expected an object");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return at(key);
}

std::string JsonNode::string_or(const char* key, const std::string& fallback) const {
  const auto node = find(key);
  return node ? node->string() : fallback;
}

bool JsonNode::boolean_or(const char* key, bool fallback) const {
  const auto node = find(key);
  return node ? node->boolean() : fallback;
}

nlohmann::json read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  const std::string text = read_file(path, path.string(), max_bytes);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw LoadError(path.string() + ": not valid JSON: " + e.what());
  }
}

}  // namespace saccade
