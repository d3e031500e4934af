#include "engine/models/lora_modules.h"

#include <algorithm>

namespace saccade {
namespace {

bool ends_in(const std::string& module, const std::string& name) {
  return module == name || module.ends_with("." + name);
}

}  // namespace

std::optional<std::regex> parse_module_regex(const std::string& text) {
  constexpr size_t kMaxBytes = 2048;  // std::regex recurses
  if (text.size() > kMaxBytes) return std::nullopt;
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    return std::nullopt;
  }
}

ModulePattern::ModulePattern(const JsonView& config, const char* key) {
  const std::optional<JsonView> rows = config.object(key);
  if (!rows) return;
  for (const JsonMember& row : rows->members()) {
    const std::optional<std::regex> regex = parse_module_regex("(.*\\.)?(" + row.key + ")$");
    if (!regex) rows->fail(row.key, "this regular expression is not supported");
    rows_.emplace_back(*regex, rows->number_in(row.key, 0, 1e-9, 1e9));
  }
}

std::optional<double> ModulePattern::find(const std::string& module) const {
  for (const auto& [regex, value] : rows_) {
    if (std::regex_match(module, regex)) return value;
  }
  return std::nullopt;
}

TargetModules::Names::Names(const JsonView& config, const char* key) {
  const Json* const value = config.find(key);
  if (value == nullptr) return;
  if (const std::string* const text = value->string()) {
    regex = *text == "all-linear" ? std::nullopt : parse_module_regex(*text);
    given = regex.has_value();
    return;
  }
  list = config.string_list(key);
  given = !list.empty();
}

bool TargetModules::Names::match(const std::string& module) const {
  if (regex) return std::regex_match(module, *regex);
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& name) { return ends_in(module, name); });
}

TargetModules::TargetModules(const JsonView& config)
    : targets_(config, "target_modules"), excluded_(config, "exclude_modules") {
  if (config.has("layers_to_transform")) layers_ = config.int_or_int_list("layers_to_transform");
  std::vector<std::string> patterns = {"[^.]*"};
  const Json* const given = config.find("layers_pattern");
  if (given != nullptr && given->string() != nullptr && !given->string()->empty()) {
    patterns = {*given->string()};
  } else if (given != nullptr && given->array() != nullptr && !given->array()->empty()) {
    patterns = config.string_list("layers_pattern");
  }
  for (const std::string& pattern : patterns) {
    const std::optional<std::regex> regex =
        parse_module_regex("(?:^|.*?\\.)(?:" + pattern + ")\\.(\\d+)\\..*");
    if (!regex) config.fail("layers_pattern", "this regular expression is not supported");
    layer_patterns_.push_back(*regex);
  }
}

bool TargetModules::layer_chosen(const std::string& module) const {
  for (const std::regex& pattern : layer_patterns_) {
    std::smatch match;
    if (!std::regex_match(module, match, pattern)) continue;
    const std::string layer = match[match.size() - 1];
    return std::any_of(layers_.begin(), layers_.end(),
                       [&](int chosen) { return std::to_string(chosen) == layer; });
  }
  return false;
}

const char* TargetModules::left_out_by(const std::string& module) const {
  if (excluded_.given && excluded_.match(module)) return "exclude_modules";
  if (!targets_.given) return nullptr;
  if (!targets_.match(module)) return "target_modules";
  // Layers choose among the ends of names alone.
  const bool whole =
      std::find(targets_.list.begin(), targets_.list.end(), module) != targets_.list.end();
  if (layers_.empty() || targets_.regex || whole || layer_chosen(module)) return nullptr;
  return "layers_to_transform";
}

}  // namespace saccade
