#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/status.h"
#include "engine/weights/gguf.h"
#include "server/prompt/tokenizer/gguf_tokenizer.h"
#include "server/prompt/tokenizer/tokenizer_parts.h"

namespace saccade {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;

std::unique_ptr<Normalizer> load_normalizer(const JsonNode& root, const TokenizerConfig& config) {
  const auto node = root.find("normalizer");
  if (!node) return nullptr;
  if (node->type() != "BertNormalizer" ||
      config.tokenizer_class.find("Bert") == std::string::npos) {
    return make_normalizer(*node);
  }
  // transformers' BertTokenizerFast rebuilds the normalizer from these.
  nlohmann::json copy = node->raw();
  if (config.lowercase) copy["lowercase"] = *config.lowercase;
  if (config.strip_accents) copy["strip_accents"] = *config.strip_accents;
  if (config.chinese_chars) copy["handle_chinese_chars"] = *config.chinese_chars;
  return make_normalizer(JsonNode(copy, node->where()));
}

PreTokenizerChain load_pre_tokenizer(const JsonNode& root, const TokenizerConfig& config,
                                     bool keep_bytes) {
  const auto node = root.find("pre_tokenizer");
  if (!node) return {};
  PreTokenizerOptions options;
  options.leave_bytes = keep_bytes;
  // PreTrainedTokenizerFast obeys this one, and takes an absent value for false.
  if (config.present) options.add_prefix_space = config.add_prefix_space.value_or(false);
  return make_pre_tokenizer(*node, options);
}

void load_added_tokens(const JsonNode& root, TokenizerParts& parts) {
  const Vocabulary& vocabulary = parts.model->vocabulary();
  if (const auto tokens = root.find("added_tokens")) {
    for (const JsonNode& token : tokens->items()) {
      // Read for its range alone: the reference gives added tokens ids of its own.
      if (const auto id = token.find("id")) id->integer(0, kMaxTokenId);
      parts.added.add(read_added_token(token), vocabulary);
    }
  }
}

// transformers adds what the file lacks, and takes the flags of tokenizer_config.json.
void load_config_tokens(TokenizerParts& parts) {
  const Vocabulary& vocabulary = parts.model->vocabulary();
  const auto is_named = [&](const std::string& content) {
    for (const AddedToken& token : parts.config.named) {
      if (token.content == content) return true;
    }
    return false;
  };
  for (AddedToken token : parts.config.decoder) {
    token.special = token.special || is_named(token.content);
    parts.added.add(token, vocabulary);
  }
  for (const AddedToken& token : parts.config.named) {
    if (!parts.added.id_of(token.content)) parts.added.add(token, vocabulary);
  }
}

// LlamaTokenizer's template: <s> before the text unless told otherwise, </s> behind it if told so.
// Its fast class replaces the template of tokenizer.json by this one.
void use_llama_template(TokenizerParts& parts) {
  TokenizerConfig& config = parts.config;
  const auto ids = [&](bool wanted, const std::string& name, const char* field) {
    std::vector<TokenId> out;
    if (!wanted) return out;
    auto id = parts.added.id_of(name);
    if (!id) id = parts.model->vocabulary().find(name);
    if (!id) {
      throw LoadError(std::string("tokenizer_config.json: ") + field + ": '" + name +
                      "' is not a token");
    }
    out.push_back(*id);
    return out;
  };
  if (config.bos.empty()) config.bos = "<s>";
  if (config.eos.empty()) config.eos = "</s>";
  parts.post_processor =
      PostProcessor(ids(config.add_bos.value_or(true), config.bos, "bos_token"),
                    ids(config.add_eos.value_or(false), config.eos, "eos_token"));
}

void load_truncation(const JsonNode& root, TokenizerParts& parts) {
  parts.max_length = static_cast<size_t>(parts.config.max_length);
  const auto node = root.find("truncation");
  if (!node) return;
  parts.max_length = static_cast<size_t>(node->at("max_length").integer(0, 1'000'000'000));
  const std::string direction = node->string_or("direction", "Right");
  if (direction != "Right" && direction != "Left") node->at("direction").fail("not Left or Right");
  parts.truncate_left = direction == "Left";
}

// `json`: what tokenizer.json holds; `where` names it.
void load_json(const nlohmann::json& json, const std::string& where, TokenizerParts& parts) {
  const JsonNode root(json, where + ":");
  const JsonNode model = root.at("model");
  // Only BPE reads plain bytes.
  const bool bpe = model.has("type") ? model.type() == "BPE" : model.has("merges");
  parts.normalizer = load_normalizer(root, parts.config);
  parts.pre_tokenizer = load_pre_tokenizer(root, parts.config, bpe);
  parts.model = make_model(model, parts.pre_tokenizer.byte_level);
  if (const auto node = root.find("post_processor")) parts.post_processor = PostProcessor(*node);
  if (const auto node = root.find("decoder")) parts.decoder = DecoderChain(*node);
  load_added_tokens(root, parts);
  load_config_tokens(parts);
  if (parts.config.tokenizer_class == "LlamaTokenizer") use_llama_template(parts);
  load_truncation(root, parts);
}

TokenizerParts load_gguf(const std::filesystem::path& path) {
  TokenizerParts parts;
  const GgufFile file(path);
  parts.config = gguf_tokenizer_config(file.metadata());
  if (is_sentencepiece(file.metadata())) {
    load_sentencepiece(gguf_sentencepiece(file.metadata()), file.name(), parts);
    load_config_tokens(parts);
    use_llama_template(parts);
  } else {
    load_json(gguf_tokenizer_json(file.metadata()), file.name(), parts);
  }
  return parts;
}

TokenizerParts load_folder(const std::filesystem::path& folder) {
  TokenizerParts parts;
  parts.config = read_tokenizer_config(folder);
  std::error_code error;
  if (std::filesystem::exists(folder / "tokenizer.json", error)) {
    const std::filesystem::path file = folder / "tokenizer.json";
    load_json(read_json_file(file, kMaxBytes), file.string(), parts);
  } else if (std::filesystem::exists(folder / "tokenizer.model", error)) {
    const std::filesystem::path file = folder / "tokenizer.model";
    load_sentencepiece(read_sentencepiece(file), file.string(), parts);
    load_config_tokens(parts);
    use_llama_template(parts);
    parts.max_length = static_cast<size_t>(parts.config.max_length);
  } else {
    throw LoadError(folder.string() + ": neither tokenizer.json nor tokenizer.model");
  }
  return parts;
}

}  // namespace

TokenizerParts load_tokenizer_parts(const std::filesystem::path& path) {
  TokenizerParts parts = GgufFile::is_at(path) ? load_gguf(path) : load_folder(path);
  parts.added.build(parts.normalizer.get());
  return parts;
}

}  // namespace saccade
