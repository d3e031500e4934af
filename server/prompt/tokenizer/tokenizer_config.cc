#include "server/prompt/tokenizer/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "engine/weights/file_exists.h"
#include "engine/weights/library_version.h"

namespace saccade {
namespace {

constexpr size_t kMaxConfigBytes = size_t{64} << 20;

AddedToken as_special(const JsonNode& node) {
  AddedToken token = read_added_token(node);
  token.special = true;
  if (!node.is_object() || !node.has("normalized")) token.normalized = false;
  return token;
}

void add_named(TokenizerConfig& config, AddedToken token) {
  if (!token.content.empty() && !config.is_named(token.content)) {
    config.named.push_back(std::move(token));
  }
}

// A list of tokens, or an object of named ones.
void add_extra(TokenizerConfig& config, const JsonNode& node) {
  if (node.is_object()) {
    for (const auto& [key, value] : node.raw().items()) {
      if (!value.is_null()) add_named(config, as_special(node.at(key.c_str())));
    }
    return;
  }
  for (const JsonNode& token : node.items()) add_named(config, as_special(token));
}

// `replace`: names that are set already take the new value.
void read_names(TokenizerConfig& config, const JsonNode& node, bool replace) {
  for (size_t i = 0; i < kSpecialNames.size(); ++i) {
    const std::string_view name = kSpecialNames[i];
    config.names[i] = config.names[i] || node.raw().contains(name);
    const auto value = node.find(name.data());
    if (!value) continue;
    AddedToken token = as_special(*value);
    std::string* slot = config.slot(name);
    if (slot && (replace || slot->empty())) *slot = token.content;
    add_named(config, std::move(token));
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    if (const auto extra = node.find(key)) add_extra(config, *extra);
  }
}

int64_t parse_id(const JsonNode& node, const std::string& text) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 0 || id > kMaxTokenId) {
    node.fail("'" + text + "' is no token id");
  }
  return id;
}

void read_decoder(TokenizerConfig& config, const JsonNode& node) {
  std::vector<std::pair<int64_t, AddedToken>> tokens;
  if (!node.is_object()) node.fail("expected an object");
  for (const auto& [key, value] : node.raw().items()) {
    tokens.emplace_back(parse_id(node, key), read_added_token(node.at(key.c_str())));
  }
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [id, token] : tokens) config.decoder.push_back(std::move(token));
}

std::string without_fast(std::string name) {
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

std::optional<bool> read_flag(const JsonNode& node, const char* key) {
  const auto value = node.find(key);
  if (!value) return std::nullopt;
  return value->boolean();
}

void read_main(TokenizerConfig& config, const JsonNode& node) {
  config.present = true;
  config.tokenizer_class = without_fast(node.string_or("tokenizer_class", ""));
  config.add_bos = read_flag(node, "add_bos_token");
  config.add_eos = read_flag(node, "add_eos_token");
  config.add_prefix_space = read_flag(node, "add_prefix_space");
  config.null_prefix_space = node.raw().contains("add_prefix_space") && !config.add_prefix_space;
  config.lowercase = read_flag(node, "do_lower_case");
  config.strip_accents = read_flag(node, "strip_accents");
  config.chinese_chars = read_flag(node, "tokenize_chinese_chars");
  config.legacy = read_flag(node, "legacy");
  // "No limit" is written as 1e30.
  if (const auto limit = node.find("model_max_length")) {
    const double value = limit->number();
    if (value >= 1 && value <= 1e9) config.max_length = static_cast<int>(value);
  }
  if (const auto decoder = node.find("added_tokens_decoder")) read_decoder(config, *decoder);
  read_names(config, node, true);
}

void read_legacy_added(TokenizerConfig& config, const JsonNode& node) {
  std::vector<std::pair<int64_t, std::string>> tokens;
  if (!node.is_object()) node.fail("expected an object");
  for (const auto& [content, id] : node.raw().items()) {
    tokens.emplace_back(node.at(content.c_str()).integer(0, kMaxTokenId), content);
  }
  std::sort(tokens.begin(), tokens.end());
  for (auto& [id, content] : tokens) config.legacy_added.push_back(std::move(content));
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// As transformers' tokenization_auto.py has it.
std::string class_of_model_type(std::string_view type) {
  if (is_one_of(type,
                {"llama", "mistral", "mistral3", "phi3", "llava", "llava_next", "llava_next_video",
                 "llava_onevision", "video_llava", "idefics", "idefics2", "idefics3"})) {
    return "LlamaTokenizer";
  }
  if (is_one_of(type, {"gemma2", "gemma3_text"})) return "GemmaTokenizer";
  if (is_one_of(type, {"qwen2", "qwen3", "qwen2_vl", "qwen2_5_vl"})) return "Qwen2Tokenizer";
  if (is_one_of(type, {"opt", "blip-2", "instructblip", "instructblipvideo"})) {
    return "GPT2Tokenizer";
  }
  if (is_one_of(type, {"mpt", "gpt_neox"})) return "GPTNeoXTokenizer";
  return {};
}

// The same of transformers 5: `named` is the class that the files name. Some models have none of
// their own, and what the files of some say does not count.
std::string pipeline_class_of_fifth(const std::string& named, std::string_view type,
                                    LibraryVersion version) {
  if (is_one_of(type, {"mistral", "mistral3", "llava", "llava_next", "phi3", "smolvlm"})) return {};
  if (type == "qwen2" && version >= std::pair(5, 8)) return "Qwen2Tokenizer";
  if (!named.empty()) return named;
  const bool has_none =
      is_one_of(type, {"llama", "llava_next_video", "llava_onevision", "video_llava", "idefics3"});
  return has_none ? std::string() : class_of_model_type(type);
}

// config.json: the library's version, and the class of folders whose tokenizer files name none.
void read_model(TokenizerConfig& config, const JsonNode& node) {
  if (config.tokenizer_class.empty()) {
    config.tokenizer_class = without_fast(node.string_or("tokenizer_class", ""));
  }
  const std::string type = node.string_or("model_type", "");
  const LibraryVersion version = parse_library_version(node.string_or("transformers_version", ""));
  config.of_fifth = version.first >= 5;
  if (config.of_fifth) {
    config.pipeline_class = pipeline_class_of_fifth(config.tokenizer_class, type, version);
    // Llama 3's files name LlamaTokenizer.
    const bool named = config.pipeline_class == config.tokenizer_class;
    config.keeps_byte_level =
        named && config.pipeline_class == "LlamaTokenizer" && version >= std::pair(5, 22);
  }
  if (!config.tokenizer_class.empty()) return;
  config.tokenizer_class = class_of_model_type(type);
  config.class_of_model = true;
  const JsonNode decoder = node.find("text_config").value_or(node);
  if (const auto rows = decoder.is_object() ? decoder.find("vocab_size") : std::nullopt) {
    config.embedding_rows = rows->integer(0, kMaxTokenId);
  }
}

// Calls fn(node) on the file's content if there is such a file.
template <typename Function>
void with_file(const std::filesystem::path& folder, const char* name, Function fn) {
  const std::filesystem::path path = folder / name;
  if (!file_exists(path)) return;
  const nlohmann::json json = read_json_file(path, kMaxConfigBytes);
  const JsonNode node(json, path.string() + ":");
  if (!node.is_object()) node.fail("expected an object");
  fn(node);
}

}  // namespace

bool TokenizerConfig::is_named(std::string_view content) const {
  return std::any_of(named.begin(), named.end(),
                     [&](const AddedToken& token) { return token.content == content; });
}

std::string* TokenizerConfig::slot(std::string_view name) {
  if (name == "bos_token") return &bos;
  if (name == "eos_token") return &eos;
  if (name == "pad_token") return &pad;
  if (name == "unk_token") return &unk;
  return nullptr;
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig config;
  with_file(folder, "tokenizer_config.json",
            [&](const JsonNode& node) { read_main(config, node); });
  // Older folders, which have no added_tokens_decoder, keep the flags in this file.
  with_file(folder, "special_tokens_map.json",
            [&](const JsonNode& node) { read_names(config, node, config.decoder.empty()); });
  with_file(folder, "added_tokens.json",
            [&](const JsonNode& node) { read_legacy_added(config, node); });
  with_file(folder, "config.json", [&](const JsonNode& node) { read_model(config, node); });
  return config;
}

}  // namespace saccade
