#include "server/prompt/tokenizer/class_pipeline.h"

#include <optional>
#include <string_view>
#include <utility>

#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_rules.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

// What a class brings along; the flags are those of its BPE.
struct Pipeline {
  Json normalizer = nullptr;
  Json pre_tokenizer = nullptr;
  Json decoder = nullptr;
  bool fuse_unk = false;
  bool byte_fallback = false;
  Json unk = nullptr;
};

Json replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

// Marks become spaces, <0xNN> bytes.
Json piece_decoder(bool strips_first) {
  Json steps = {replace(unicode::kWordMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (strips_first) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

Pipeline llama(const TokenizerConfig& config) {
  const bool prefix = config.add_prefix_space.value_or(true);
  const char* scheme = !prefix ? "never" : config.legacy.value_or(false) ? "always" : "first";
  return {.pre_tokenizer = {{"type", "Metaspace"},
                            {"replacement", unicode::kWordMark},
                            {"prepend_scheme", scheme},
                            {"split", false}},
          .decoder = piece_decoder(prefix),
          .fuse_unk = true,
          .byte_fallback = true};
}

Pipeline code_llama(const TokenizerConfig& config) {
  const bool prefix = config.add_prefix_space.value_or(true);
  return {.pre_tokenizer = {{"type", "Metaspace"},
                            {"replacement", unicode::kWordMark},
                            {"prepend_scheme", prefix ? "first" : "never"},
                            {"split", false}},
          .decoder = piece_decoder(true),
          .fuse_unk = true,
          .byte_fallback = true,
          .unk = config.unk.empty() ? "<unk>" : config.unk};
}

Pipeline gemma(const TokenizerConfig& config) {
  return {.normalizer = replace(" ", unicode::kWordMark),
          .pre_tokenizer = {{"type", "Split"},
                            {"pattern", {{"String", " "}}},
                            {"behavior", "MergedWithPrevious"},
                            {"invert", false}},
          .decoder = piece_decoder(false),
          .fuse_unk = true,
          .byte_fallback = true,
          .unk = config.unk.empty() ? "<unk>" : config.unk};
}

Pipeline byte_level_words(const TokenizerConfig& config, bool qwen) {
  Pipeline pipeline{.pre_tokenizer = qwen ? split_by_words(kQwen2Words) : byte_level(true),
                    .decoder = byte_level(true)};
  if (qwen) pipeline.normalizer = {{"type", "NFC"}};
  Json& bytes = qwen ? pipeline.pre_tokenizer["pretokenizers"].back() : pipeline.pre_tokenizer;
  bytes["add_prefix_space"] = config.add_prefix_space.value_or(false);
  return pipeline;
}

Pipeline gpt_neox(const TokenizerConfig& config) {
  Pipeline pipeline = byte_level_words(config, false);
  pipeline.normalizer = {{"type", "NFC"}};
  return pipeline;
}

std::optional<Pipeline> pipeline_of(const TokenizerConfig& config) {
  const std::string& name = config.pipeline_class;
  if (name == "LlamaTokenizer") return llama(config);
  if (name == "CodeLlamaTokenizer") return code_llama(config);
  if (name == "GemmaTokenizer") return gemma(config);
  if (name == "Qwen2Tokenizer") return byte_level_words(config, true);
  if (name == "GPT2Tokenizer") return byte_level_words(config, false);
  if (name == "GPTNeoXTokenizer") return gpt_neox(config);
  return std::nullopt;
}

bool has_byte_level(const Json& json) {
  for (const char* stage : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const auto found = json.find(stage);
    if (found != json.end() && found->dump().find("\"ByteLevel\"") != std::string::npos)
      return true;
  }
  return false;
}

// The vocabulary of a BPE: {"a": 0}, also of ["a"] and Unigram's [["a", score]]. Nothing where it
// is neither.
std::optional<Json> ids_by_token(const Json& vocabulary) {
  if (vocabulary.is_object()) return vocabulary;
  if (!vocabulary.is_array()) return std::nullopt;
  Json ids = Json::object();
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    const Json& entry = vocabulary[id];
    const Json& token = entry.is_array() && !entry.empty() ? entry[0] : entry;
    if (!token.is_string()) return std::nullopt;
    ids[token.get_ref<const std::string&>()] = id;
  }
  return ids;
}

}  // namespace

void use_class_pipeline(TokenizerConfig& config, nlohmann::json& json) {
  std::optional<Pipeline> pipeline = pipeline_of(config);
  if (!pipeline || !json.is_object()) return;
  if (config.keeps_byte_level && has_byte_level(json)) {
    config.pipeline_class.clear();
    return;
  }
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || !model->contains("vocab")) return;
  std::optional<Json> vocabulary = ids_by_token((*model)["vocab"]);
  if (!vocabulary) return;
  Json merges = model->value("merges", Json::array());
  *model = {{"type", "BPE"},
            {"vocab", *std::move(vocabulary)},
            {"merges", std::move(merges)},
            {"unk_token", std::move(pipeline->unk)},
            {"fuse_unk", pipeline->fuse_unk},
            {"byte_fallback", pipeline->byte_fallback}};
  json["normalizer"] = std::move(pipeline->normalizer);
  json["pre_tokenizer"] = std::move(pipeline->pre_tokenizer);
  json["decoder"] = std::move(pipeline->decoder);
}

}  // namespace saccade
