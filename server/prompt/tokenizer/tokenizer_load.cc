#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/weights/file_exists.h"
#include "engine/weights/gguf.h"
#include "server/prompt/tokenizer/class_pipeline.h"
#include "server/prompt/tokenizer/gguf_tokenizer.h"
#include "server/prompt/tokenizer/tokenizer_parts.h"
#include "server/prompt/tokenizer/vocabulary_files.h"

namespace saccade {
namespace {

constexpr size_t kMaxTokenizerBytes = size_t{256} << 20;

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
  if (config.present && !config.of_fifth)
    options.add_prefix_space = config.add_prefix_space.value_or(false);
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

bool is_named(const TokenizerConfig& config, const std::string& content) {
  return std::any_of(config.named.begin(), config.named.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

// transformers adds what the file lacks, and takes the flags of tokenizer_config.json.
void load_config_tokens(TokenizerParts& parts) {
  const Vocabulary& vocabulary = parts.model->vocabulary();
  for (AddedToken token : parts.config.decoder) {
    token.special = token.special || is_named(parts.config, token.content);
    parts.added.add(token, vocabulary);
  }
  for (const AddedToken& token : parts.config.named) {
    if (!parts.added.id_of(token.content)) parts.added.add(token, vocabulary);
  }
}

// Folders of before added_tokens_decoder have added_tokens.json.
void use_legacy_tokens(TokenizerConfig& config) {
  if (!config.decoder.empty()) return;
  for (const std::string& content : config.legacy_added) {
    AddedToken token;
    token.content = content;
    token.special = is_named(config, content);
    token.normalized = !token.special;
    config.decoder.push_back(std::move(token));
  }
}

// The special tokens that the classes of such folders have where no file names them.
void use_class_tokens(TokenizerConfig& config) {
  const auto add = [&](const char* content) {
    if (is_named(config, content)) return;
    AddedToken token;
    token.content = content;
    token.special = true;
    token.normalized = false;
    config.named.push_back(std::move(token));
  };
  if (config.tokenizer_class == "BertTokenizer") {
    for (const char* name : {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}) add(name);
    return;
  }
  const bool qwen = config.tokenizer_class == "Qwen2Tokenizer";
  constexpr const char* kEnd = "<|endoftext|>";
  for (std::string* slot : {&config.unk, &config.eos, qwen ? &config.pad : &config.bos}) {
    if (!slot->empty()) continue;
    *slot = kEnd;
    add(kEnd);
  }
}

// The classes whose fast form replaces the template of tokenizer.json by one of its own: the begin
// token before the text, the end token behind it, as add_bos_token and add_eos_token say.
struct TemplateClass {
  std::string_view name;
  const char* bos;
  const char* eos;
  bool add_bos;           // by default
  bool in_fifth = false;  // since 5, too, and there the flags do not count
};
constexpr TemplateClass kLlama = {"LlamaTokenizer", "<s>", "</s>", true};
constexpr std::array kTemplateClasses = {
    kLlama,
    TemplateClass{"CodeLlamaTokenizer", "<s>", "</s>", true, true},
    TemplateClass{"GemmaTokenizer", "<bos>", "<eos>", true},
    TemplateClass{"CohereTokenizer", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", true},
    TemplateClass{"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", false, true},
};

std::optional<TokenId> find_token(const TokenizerParts& parts, const std::string& name) {
  const auto id = parts.added.id_of(name);
  return id ? id : parts.model->vocabulary().find(name);
}

// The token's id as the one in front of or behind a text; none where it is not `wanted`. `field`
// names it.
std::vector<TokenId> frame_token(const TokenizerParts& parts, bool wanted, const std::string& name,
                                 const char* field) {
  if (!wanted) return {};
  if (const auto id = find_token(parts, name)) return {*id};
  throw LoadError(std::string("tokenizer_config.json: ") + field + ": '" + name +
                  "' is not a token");
}

void use_template(const TemplateClass& type, TokenizerParts& parts) {
  TokenizerConfig& config = parts.config;
  if (config.bos.empty()) config.bos = type.bos;
  if (config.eos.empty()) config.eos = type.eos;
  const bool flags = !config.of_fifth || !type.in_fifth;
  const bool add_bos = flags ? config.add_bos.value_or(type.add_bos) : type.add_bos;
  const bool add_eos = flags && config.add_eos.value_or(false);
  parts.post_processor = PostProcessor(frame_token(parts, add_bos, config.bos, "bos_token"),
                                       frame_token(parts, add_eos, config.eos, "eos_token"));
}

// Of the slow classes that transformers converts: GPT2Tokenizer's begin token where it is asked
// for (since 5 that of Qwen2Tokenizer, too), BertTokenizer's frame.
void use_slow_template(TokenizerParts& parts) {
  const TokenizerConfig& config = parts.config;
  const bool bert = config.tokenizer_class == "BertTokenizer";
  const bool may_add = config.tokenizer_class != "Qwen2Tokenizer" || config.of_fifth;
  const bool adds_bos = may_add && config.add_bos.value_or(false);
  parts.post_processor =
      bert ? PostProcessor(frame_token(parts, true, "[CLS]", "cls_token"),
                           frame_token(parts, true, "[SEP]", "sep_token"))
           : PostProcessor(frame_token(parts, adds_bos, config.bos, "bos_token"), {});
}

// The class that decides about the template.
const std::string& class_of(const TokenizerConfig& config) {
  return config.of_fifth ? config.pipeline_class : config.tokenizer_class;
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
  for (const TemplateClass& type : kTemplateClasses) {
    if (class_of(parts.config) != type.name) continue;
    if (parts.config.of_fifth && !type.in_fifth) continue;
    // A class that no file names serves where the begin token it adds is one.
    const bool guessed = parts.config.class_of_model && type.add_bos;
    if (guessed && !find_token(parts, type.bos)) continue;
    use_template(type, parts);
  }
  load_truncation(root, parts);
}

TokenizerParts load_gguf(const std::filesystem::path& path) {
  TokenizerParts parts;
  const GgufFile file(path);
  parts.config = gguf_tokenizer_config(file.metadata());
  if (is_sentencepiece(file.metadata())) {
    load_sentencepiece(gguf_sentencepiece(file.metadata()), file.name(), parts);
    load_config_tokens(parts);
    use_template(kLlama, parts);
  } else {
    load_json(gguf_tokenizer_json(file.metadata()), file.name(), parts);
  }
  return parts;
}

TokenizerParts load_folder(const std::filesystem::path& folder) {
  TokenizerParts parts;
  parts.config = read_tokenizer_config(folder);
  if (file_exists(folder / "tokenizer.json")) {
    const std::filesystem::path file = folder / "tokenizer.json";
    nlohmann::json json = read_json_file(file, kMaxTokenizerBytes);
    use_class_pipeline(parts.config, json);
    load_json(json, file.string(), parts);
  } else if (file_exists(folder / "tokenizer.model")) {
    const std::filesystem::path file = folder / "tokenizer.model";
    load_sentencepiece(read_sentencepiece(file), file.string(), parts);
    load_config_tokens(parts);
    use_template(kLlama, parts);
    parts.max_length = static_cast<size_t>(parts.config.max_length);
  } else if (has_vocabulary(folder)) {
    use_legacy_tokens(parts.config);
    use_class_tokens(parts.config);
    load_json(tokenizer_json_of_vocabulary(folder, parts.config), folder.string(), parts);
    use_slow_template(parts);
  } else {
    throw LoadError(folder.string() + ": neither tokenizer.json, tokenizer.model nor vocab.json");
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
