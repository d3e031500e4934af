#include "server/api/service/generation_defaults.h"

#include <algorithm>
#include <cmath>

#include "engine/weights/file_exists.h"
#include "server/api/service/folder_files.h"

namespace saccade::api {
namespace {

namespace fs = std::filesystem;

constexpr int kMost = 1 << 30;

// What config.json may say of answers, and the value that says nothing: each part of it that an
// old release wrote lists them all (GenerationConfig.from_model_config).
struct LegacyField {
  const char* name;
  double idle;
};
constexpr LegacyField kLegacyFields[] = {{"temperature", 1},
                                         {"top_k", 50},
                                         {"top_p", 1},
                                         {"repetition_penalty", 1},
                                         {"min_length", 0},
                                         {"no_repeat_ngram_size", 0},
                                         {"encoder_no_repeat_ngram_size", 0},
                                         {"bad_words_ids", 0},
                                         {"forced_bos_token_id", -1},
                                         {"forced_eos_token_id", -1},
                                         {"exponential_decay_length_penalty", 0},
                                         {"suppress_tokens", 0},
                                         {"begin_suppress_tokens", 0}};

class DefaultsFile {
 public:
  explicit DefaultsFile(const fs::path& folder) : path_(folder / "generation_config.json") {
    if (file_exists(path_)) {
      fields_ = read_json(path_);
      return;
    }
    path_ = folder / "config.json";
    const Json config = read_json(path_);
    take_legacy(config);
    const auto text = config.find("text_config");
    if (text != config.end() && text->is_object()) take_legacy(*text);
  }

  [[noreturn]] void fail(const char* name, const std::string& what) const {
    throw LoadError(path_.string() + ": " + name + what);
  }

  const Json* find(const char* name) const {
    const auto member = fields_.find(name);
    return member == fields_.end() || member->is_null() ? nullptr : &*member;
  }

  template <typename T>
  void read(const char* name, T min, T max, T& value) const {
    const Json* const member = find(name);
    if (member == nullptr) return;
    if (!member->is_number() || !(member->get<double>() >= static_cast<double>(min)) ||
        !(member->get<double>() <= static_cast<double>(max))) {
      fail(name, " is out of range");
    }
    value = member->get<T>();
  }

  std::vector<Json> list(const char* name) const {
    const Json* const member = find(name);
    if (member == nullptr) return {};
    if (!member->is_array()) fail(name, ": expected a list");
    return *member;
  }

  TokenId id(const char* name, const Json& item) const {
    if (item.is_number_integer() && item >= 0 && item <= kMost) return item.get<TokenId>();
    fail(name, ": expected token ids");
  }

  // One id or a list of them; -1 by itself is what some releases wrote for none.
  std::vector<TokenId> ids(const char* name) const {
    const Json* const member = find(name);
    if (member == nullptr || *member == -1) return {};
    if (!member->is_array()) return {id(name, *member)};
    return ids(name, *member);
  }

  std::vector<TokenId> ids(const char* name, const Json& items) const {
    if (!items.is_array()) fail(name, ": expected lists of token ids");
    std::vector<TokenId> ids;
    for (const Json& item : items) ids.push_back(id(name, item));
    return ids;
  }

 private:
  void take_legacy(const Json& config) {
    for (const LegacyField& field : kLegacyFields) {
      const auto value = config.find(field.name);
      if (value == config.end() || value->is_null() || fields_.contains(field.name)) continue;
      if (value->is_number() && value->get<double>() == field.idle) continue;
      fields_[field.name] = *value;
    }
  }

  fs::path path_;
  Json fields_ = Json::object();
};

// stop_strings: one string or a list.
std::vector<std::string> read_stop_strings(const DefaultsFile& file) {
  constexpr size_t kMostStrings = 16;
  constexpr size_t kMostBytes = 1024;
  const Json* const member = file.find("stop_strings");
  if (member == nullptr) return {};
  std::vector<std::string> strings;
  for (const Json& item : member->is_array() ? *member : Json::array({*member})) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        item.get_ref<const std::string&>().size() > kMostBytes || strings.size() == kMostStrings) {
      file.fail("stop_strings", ": expected up to 16 strings of 1 to 1024 bytes");
    }
    strings.push_back(item);
  }
  return strings;
}

std::vector<GenerationRules::Bias> read_sequence_bias(const DefaultsFile& file) {
  constexpr const char* kName = "sequence_bias";
  std::vector<GenerationRules::Bias> biases;
  for (const Json& pair : file.list(kName)) {
    if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number()) {
      file.fail(kName, ": expected pairs of a list of token ids and a number");
    }
    GenerationRules::Bias bias{file.ids(kName, pair[0]), pair[1].get<float>()};
    if (bias.tokens.empty()) file.fail(kName, ": an empty list of token ids");
    // Of the same tokens the last pair counts, as in the reference's dict.
    std::erase_if(biases, [&](const auto& other) { return other.tokens == bias.tokens; });
    biases.push_back(std::move(bias));
  }
  return biases;
}

// Without those that are one end token, as generate() has it.
std::vector<std::vector<TokenId>> read_bad_words(const DefaultsFile& file,
                                                 const std::vector<TokenId>& eos_ids) {
  constexpr const char* kName = "bad_words_ids";
  std::vector<std::vector<TokenId>> words;
  for (const Json& item : file.list(kName)) {
    std::vector<TokenId> word = file.ids(kName, item);
    const bool ends =
        word.size() == 1 && std::find(eos_ids.begin(), eos_ids.end(), word[0]) != eos_ids.end();
    if (!ends && !word.empty()) words.push_back(std::move(word));
  }
  return words;
}

void read_length_penalty(const DefaultsFile& file, GenerationRules& rules) {
  constexpr const char* kName = "exponential_decay_length_penalty";
  const std::vector<Json> pair = file.list(kName);
  if (pair.empty()) return;
  if (pair.size() != 2 || !pair[0].is_number_integer() || std::abs(pair[0].get<double>()) > kMost ||
      !pair[1].is_number() || !(pair[1] > 0.0) || !(pair[1] <= 100.0)) {
    file.fail(kName, ": expected a number of tokens and a factor of at most 100");
  }
  rules.decay_start = pair[0].get<int>();
  rules.decay_factor = pair[1].get<double>();
}

std::shared_ptr<const GenerationRules> read_rules(const DefaultsFile& file,
                                                  const std::vector<TokenId>& eos_ids) {
  GenerationRules rules;
  rules.sequence_bias = read_sequence_bias(file);
  file.read("encoder_repetition_penalty", 1e-6f, 100.0f, rules.encoder_repetition_penalty);
  file.read("no_repeat_ngram_size", 0, kMost, rules.no_repeat_ngram_size);
  file.read("encoder_no_repeat_ngram_size", 0, kMost, rules.encoder_no_repeat_ngram_size);
  rules.bad_words = read_bad_words(file, eos_ids);
  rules.forced_begin = file.ids("forced_bos_token_id");
  rules.forced_end = file.ids("forced_eos_token_id");
  read_length_penalty(file, rules);
  rules.suppressed = file.ids("suppress_tokens");
  rules.suppressed_first = file.ids("begin_suppress_tokens");
  return rules == GenerationRules{} ? nullptr
                                    : std::make_shared<const GenerationRules>(std::move(rules));
}

}  // namespace

SamplingDefaults read_generation_defaults(const fs::path& folder,
                                          const std::vector<TokenId>& eos_ids) {
  const DefaultsFile file(folder);
  SamplingDefaults defaults;
  file.read("temperature", 0.0f, 100.0f, defaults.temperature);
  file.read("top_p", 0.0f, 1.0f, defaults.top_p);
  file.read("top_k", 0, kMost, defaults.top_k);
  file.read("min_p", 0.0f, 1.0f, defaults.min_p);
  file.read("repetition_penalty", 0.0f, 100.0f, defaults.repetition_penalty);
  file.read("min_new_tokens", 0, kMost, defaults.min_tokens);
  // min_new_tokens takes precedence, whatever it says.
  if (file.find("min_new_tokens") == nullptr) {
    file.read("min_length", 0, kMost, defaults.min_length);
  }
  defaults.stop = read_stop_strings(file);
  defaults.rules = read_rules(file, eos_ids);
  if (defaults.repetition_penalty == 0) file.fail("repetition_penalty", " must be greater than 0");
  if (defaults.top_p == 0) file.fail("top_p", " must be greater than 0");
  return defaults;
}

}  // namespace saccade::api
