#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/prompt/tokenizer/added_tokens.h"

namespace saccade {

// The special tokens that have names, in the order in which transformers adds them.
inline constexpr std::array<std::string_view, 7> kSpecialNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// What tokenizer_config.json, special_tokens_map.json and added_tokens.json say. transformers lets
// some of it override tokenizer.json.
struct TokenizerConfig {
  std::string tokenizer_class;  // without "Fast"
  bool class_of_model = false;  // no file names it: transformers' own for config.json's model_type
  int64_t embedding_rows = 0;   // config.json's vocab_size; 0: it says nothing
  // config.json is of transformers 5, whose classes obey other fields.
  bool of_fifth = false;
  std::string pipeline_class;     // of_fifth: as in class_pipeline.h; "": tokenizer.json says all
  bool keeps_byte_level = false;  // of_fifth: a tokenizer.json of byte-level words says all, too
  std::string bos, eos, pad, unk;
  std::array<bool, kSpecialNames.size()> names{};  // which of them a file has, null counting too
  std::vector<AddedToken> named;                   // special tokens by name, in transformers' order
  std::vector<AddedToken> decoder;                 // added_tokens_decoder, by id
  std::vector<std::string>
      legacy_added;  // added_tokens.json, by id (folders without tokenizer.json)
  std::optional<bool> add_bos, add_eos;
  std::optional<bool> add_prefix_space;
  bool null_prefix_space = false;                               // the file has it, as null
  std::optional<bool> lowercase, strip_accents, chinese_chars;  // BertTokenizer's
  // SentencePiece: a space before every part between added tokens.
  std::optional<bool> legacy;
  int max_length = 0;    // model_max_length; 0: no limit
  bool present = false;  // there is a tokenizer_config.json

  bool is_named(std::string_view content) const;  // one of `named`
  std::string* slot(std::string_view name);       // where bos_token, ... stands; nullptr: nowhere
};

// Throws LoadError. Missing files are no error.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

}  // namespace saccade
