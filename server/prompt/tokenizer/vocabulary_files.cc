#include "server/prompt/tokenizer/vocabulary_files.h"

#include <sstream>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/weights/file_exists.h"
#include "engine/weights/mapped_file.h"
#include "server/prompt/tokenizer/json_node.h"
#include "server/prompt/tokenizer/word_rules.h"

namespace saccade {
namespace {

constexpr size_t kMaxVocabularyBytes = size_t{64} << 20;

// Lines of a text file; what follows the last line break is a line, too.
std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::istringstream in(read_file(path, path.string(), kMaxVocabularyBytes));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
  }
  return lines;
}

// "a b" of each line. GPT2Tokenizer skips the first, Qwen2Tokenizer where it names the version.
nlohmann::json read_merges_file(const std::filesystem::path& path, bool skips_first) {
  nlohmann::json merges = nlohmann::json::array();
  const std::vector<std::string> lines = read_lines(path);
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool heading = i == 0 && (skips_first || lines[i].starts_with("#version:"));
    if (!heading && !lines[i].empty()) merges.push_back(lines[i]);
  }
  return merges;
}

[[noreturn]] void refuse_class(const std::filesystem::path& folder, const std::string& type,
                               const std::string& files) {
  throw LoadError((folder / "tokenizer_config.json").string() + ": tokenizer_class: \"" + type +
                  "\" is not read from " + files);
}

nlohmann::json byte_level_json(const std::filesystem::path& folder, const TokenizerConfig& config) {
  const std::string& type = config.tokenizer_class;
  const bool qwen = type == "Qwen2Tokenizer";
  if (!qwen && !type.empty() && type != "GPT2Tokenizer") {
    refuse_class(folder, type, "vocab.json (known: GPT2Tokenizer, Qwen2Tokenizer)");
  }
  nlohmann::json vocabulary = read_json_file(folder / "vocab.json", kMaxVocabularyBytes);
  nlohmann::json json = {{"pre_tokenizer", qwen ? split_by_words(kQwen2Words) : byte_level(true)},
                         {"decoder", byte_level(true)}};
  if (qwen) json["normalizer"] = {{"type", "NFC"}};
  json["model"] = {{"type", "BPE"},
                   {"vocab", std::move(vocabulary)},
                   {"merges", read_merges_file(folder / "merges.txt", !qwen)}};
  return json;
}

nlohmann::json wordpiece_json(const std::filesystem::path& folder, const TokenizerConfig& config) {
  if (config.tokenizer_class != "BertTokenizer") {
    refuse_class(folder, config.tokenizer_class, "vocab.txt (known: BertTokenizer)");
  }
  nlohmann::json vocabulary = nlohmann::json::object();
  const std::vector<std::string> lines = read_lines(folder / "vocab.txt");
  for (size_t id = 0; id < lines.size(); ++id) vocabulary[lines[id]] = id;
  nlohmann::json json = {{"normalizer",
                          {{"type", "BertNormalizer"},
                           {"clean_text", true},
                           {"handle_chinese_chars", true},
                           {"strip_accents", nullptr},
                           {"lowercase", true}}},
                         {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                         {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}}};
  json["model"] = {{"type", "WordPiece"},
                   {"vocab", std::move(vocabulary)},
                   {"unk_token", config.unk.empty() ? "[UNK]" : config.unk},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100}};
  return json;
}

}  // namespace

bool has_vocabulary(const std::filesystem::path& folder) {
  return file_exists(folder / "vocab.json") || file_exists(folder / "vocab.txt");
}

nlohmann::json tokenizer_json_of_vocabulary(const std::filesystem::path& folder,
                                            const TokenizerConfig& config) {
  return file_exists(folder / "vocab.json") ? byte_level_json(folder, config)
                                            : wordpiece_json(folder, config);
}

}  // namespace saccade
