#pragma once

#include <nlohmann/json.hpp>
#include <utility>

namespace saccade {

// Where words end before a byte-level BPE merges, in the form of tokenizer.json. The expressions
// are those of the models' own files.
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// `own_words`: split by GPT-2's expression.
inline nlohmann::json byte_level(bool own_words) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", own_words}};
}

inline nlohmann::json before_byte_level(nlohmann::json first, bool own_words) {
  return {{"type", "Sequence"}, {"pretokenizers", {std::move(first), byte_level(own_words)}}};
}

inline nlohmann::json split_by_words(const char* words) {
  return before_byte_level({{"type", "Split"},
                            {"pattern", {{"Regex", words}}},
                            {"behavior", "Isolated"},
                            {"invert", false}},
                           false);
}

}  // namespace saccade
