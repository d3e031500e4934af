#include "server/api/service/ignored_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/api/service/folder_files.h"

namespace saccade::api {
namespace {

struct IgnoredField {
  const char* name;
  double idle;  // the number that asks for nothing
};
constexpr IgnoredField kIgnoredFields[] = {{"num_beams", 1},
                                           {"no_repeat_ngram_size", 0},
                                           {"encoder_no_repeat_ngram_size", 0},
                                           {"encoder_repetition_penalty", 1},
                                           {"guidance_scale", 1},
                                           {"min_length", 0},
                                           {"typical_p", 1},
                                           {"epsilon_cutoff", 0},
                                           {"eta_cutoff", 0},
                                           {"top_h", 1},
                                           {"penalty_alpha", 0},
                                           {"begin_suppress_tokens", -1},
                                           {"forced_bos_token_id", -1},
                                           {"forced_eos_token_id", -1},
                                           {"sequence_bias", 0},
                                           {"exponential_decay_length_penalty", 0},
                                           {"watermarking_config", 0}};

// bad_words_ids that are more than one token: those of one are suppressed.
bool has_long_words(const Json& config) {
  const auto words = config.find("bad_words_ids");
  return words != config.end() && words->is_array() &&
         std::any_of(words->begin(), words->end(),
                     [](const Json& word) { return word.is_array() && word.size() > 1; });
}

}  // namespace

std::vector<std::string> ignored_generation_fields(const std::filesystem::path& folder) {
  const Json config = read_json(folder / "generation_config.json");
  std::vector<std::string> names;
  for (const IgnoredField& field : kIgnoredFields) {
    const auto value = config.find(field.name);
    if (value == config.end() || value->empty()) continue;  // null is empty
    if (value->is_number() && value->get<double>() == field.idle) continue;
    names.emplace_back(field.name);
  }
  if (has_long_words(config)) names.emplace_back("bad_words_ids of several tokens");
  return names;
}

}  // namespace saccade::api
