#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::testing {

// A folder that is removed with this object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "saccade-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
  }

 private:
  std::filesystem::path path_;
};

inline nlohmann::json added(const std::string& content, bool special, bool normalized = false) {
  return {{"content", content},   {"special", special}, {"normalized", normalized},
          {"single_word", false}, {"lstrip", false},    {"rstrip", false}};
}

// SentencePiece style (LLaMA-2): Prepend and Replace, byte fallback, "<s>" before the text.
// Pieces: <unk> <s> </s>, 256 bytes, then "▁" and letters, "▁a", "bc", "▁abc"; added tokens behind.
inline nlohmann::json llama_tokenizer() {
  nlohmann::json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  const auto add = [&](const std::string& piece) { vocab[piece] = vocab.size(); };
  for (int byte = 0; byte < 256; ++byte) {
    char piece[8];
    std::snprintf(piece, sizeof piece, "<0x%02X>", static_cast<unsigned>(byte));
    add(piece);
  }
  for (const char* piece : {"▁", "a", "b", "c", "s", "<", ">", "/", "▁a", "bc", "▁abc"}) add(piece);
  return {
      {"version", "1.0"},
      {"added_tokens",
       {added("<unk>", true), added("<s>", true), added("</s>", true), added("<image>", false)}},
      {"normalizer",
       {{"type", "Sequence"},
        {"normalizers",
         {{{"type", "Prepend"}, {"prepend", "▁"}},
          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
        {"pair", nlohmann::json::array()},
        {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
      {"model",
       {{"type", "BPE"},
        {"unk_token", "<unk>"},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", vocab},
        {"merges", {"▁ a", "b c", nlohmann::json::array({"▁a", "bc"})}}}}};
}

inline std::unique_ptr<Tokenizer> load(const nlohmann::json& tokenizer,
                                       const nlohmann::json& config = nullptr) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", tokenizer.dump());
  if (!config.is_null()) folder.write("tokenizer_config.json", config.dump());
  return Tokenizer::load(folder.path());
}

}  // namespace saccade::testing
