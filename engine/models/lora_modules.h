#pragma once

#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "engine/weights/json.h"

namespace saccade {

// A regular expression as adapter_config.json has them (Python's; ECMAScript's dialect is close).
// None where it is too long or not understood.
std::optional<std::regex> parse_module_regex(const std::string& text);

// rank_pattern or alpha_pattern: numbers by the end of a module's name, the first match counts
// (peft's get_pattern_key).
class ModulePattern {
 public:
  ModulePattern() = default;
  ModulePattern(const JsonView& config, const char* key);

  std::optional<double> find(const std::string& module) const;

 private:
  std::vector<std::pair<std::regex, double>> rows_;
};

// Which modules a LoRA adapter is for (peft's check_target_module_exists): it passes over the
// tensors of all others.
class TargetModules {
 public:
  TargetModules() = default;
  explicit TargetModules(const JsonView& config);

  // The field that leaves the module out; null: none does.
  const char* left_out_by(const std::string& module) const;

 private:
  struct Names {
    bool given = false;
    std::vector<std::string> list;
    std::optional<std::regex> regex;

    Names() = default;
    Names(const JsonView& config, const char* key);
    bool match(const std::string& module) const;
  };
  bool layer_chosen(const std::string& module) const;

  Names targets_;
  Names excluded_;
  std::vector<int> layers_;  // empty: all
  std::vector<std::regex> layer_patterns_;
};

}  // namespace saccade
