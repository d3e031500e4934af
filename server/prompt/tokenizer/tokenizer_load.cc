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
#include "server/prompt/tokenizer/class_tokens.h"
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
  // transformers' BertTokenizerFast rebuilds the normalizer from these, or from its defaults.
  nlohmann::json copy = node->raw();
  copy["lowercase"] = config.lowercase.value_or(true);
  copy["strip_accents"] = nullptr;
  if (config.strip_accents) copy["strip_accents"] = *config.strip_accents;
  copy["handle_chinese_chars"] = config.chinese_chars.value_or(true);
  return make_normalizer(JsonNode(copy, node->where()));
}

PreTokenizerChain load_pre_tokenizer(const JsonNode& root, const TokenizerConfig& config,
                                     bool keep_bytes) {
  const auto node = root.find("pre_tokenizer");
  if (!node) return {};
  PreTokenizerOptions options;
  options.leave_bytes = keep_bytes;
  // PreTrainedTokenizerFast obeys this one, and takes an absent value for false. Null, which it is
  // by default in LlamaTokenizerFast, leaves what the file says.
  const bool of_fast = !config.of_fifth && (config.present || !config.tokenizer_class.empty());
  const bool null = config.null_prefix_space || config.tokenizer_class == "LlamaTokenizer";
  if (of_fast && (config.add_prefix_space || !null)) {
    options.add_prefix_space = config.add_prefix_space.value_or(false);
  }
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
void load_listed_tokens(TokenizerParts& parts) {
  for (AddedToken token : parts.config.decoder) {
    token.special = token.special || parts.config.is_named(token.content);
    parts.added.add(token, parts.model->vocabulary());
  }
}

void load_named_tokens(TokenizerParts& parts) {
  const Vocabulary& vocabulary = parts.model->vocabulary();
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
    token.special = config.is_named(content);
    token.normalized = !token.special;
    config.decoder.push_back(std::move(token));
  }
}

// The classes whose fast form replaces the template of tokenizer.json by one of its own: the begin
// token before the text, the end token behind it, as add_bos_token and add_eos_token say.
struct TemplateClass {
  std::string_view name;
  bool add_bos;           // by default
  bool in_fifth = false;  // since 5, too, and there the flags do not count
};
constexpr TemplateClass kLlama = {"LlamaTokenizer", true};
constexpr std::array kTemplateClasses = {
    kLlama,
    TemplateClass{"CodeLlamaTokenizer", true, true},
    TemplateClass{"GemmaTokenizer", true},
    TemplateClass{"CohereTokenizer", true},
    TemplateClass{"GPTNeoXTokenizer", false, true},
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
  const TokenizerConfig& config = parts.config;
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

// nullptr: the template of tokenizer.json counts.
const TemplateClass* template_class_of(const TokenizerConfig& config) {
  for (const TemplateClass& type : kTemplateClasses) {
    if (class_of(config) == type.name) return config.of_fifth && !type.in_fifth ? nullptr : &type;
  }
  return nullptr;
}

// Takes the special tokens of the folder's class. A class that no file names serves (else nothing
// changes) where the begin token it adds is one, or the model has a row for it behind the others.
bool use_class(const TemplateClass* type, TokenizerParts& parts) {
  TokenizerConfig config = parts.config;
  use_class_tokens(class_of(config), config);
  const bool guessed = config.class_of_model && type && type->add_bos;
  const bool known = parts.config.is_named(config.bos) || find_token(parts, config.bos);
  if (guessed && !known &&
      parts.added.next_id(parts.model->vocabulary()) >= config.embedding_rows) {
    return false;
  }
  parts.config = std::move(config);
  return true;
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
  load_listed_tokens(parts);
  const TemplateClass* type = template_class_of(parts.config);
  const bool serves = use_class(type, parts);
  load_named_tokens(parts);
  if (type && serves) use_template(*type, parts);
  load_truncation(root, parts);
}

// Behind a SentencePiece model: the tokens and the template of LlamaTokenizer.
void use_llama_class(TokenizerParts& parts) {
  use_class_tokens(kLlama.name, parts.config);
  load_listed_tokens(parts);
  load_named_tokens(parts);
  use_template(kLlama, parts);
}

TokenizerParts load_gguf(const std::filesystem::path& path) {
  TokenizerParts parts;
  const GgufFile file(path);
  parts.config = gguf_tokenizer_config(file.metadata());
  if (is_sentencepiece(file.metadata())) {
    load_sentencepiece(gguf_sentencepiece(file.metadata()), file.name(), parts);
    use_llama_class(parts);
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
    use_llama_class(parts);
    parts.max_length = static_cast<size_t>(parts.config.max_length);
  } else if (has_vocabulary(folder)) {
    use_legacy_tokens(parts.config);
    use_class_tokens(parts.config.tokenizer_class, parts.config);
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
