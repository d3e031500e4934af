// What of a multimodal folder's config.json depends on the library's release.

#include "engine/models/decoder_model.h"

#include "tests/engine/catch.h"
#include "tests/engine/weights/test_folder.h"

namespace saccade::testing {
namespace {

DecoderConfig parse(const std::string& version, const std::string& text) {
  const TestFolder folder;
  folder.write("config.json", R"({"model_type": "llava", "transformers_version": ")" + version +
                                  R"(", "text_config": {)" + text + "}}");
  return parse_text_config(ModelFolder(folder.path()), "llama");
}

TEST_CASE("tie_word_embeddings counts before 5; since then a stored head does") {
  const std::string tied = R"("tie_word_embeddings": true)";
  CHECK(parse("4.57.6", tied).tie_word_embeddings);
  CHECK_FALSE(parse("4.57.6", "").tie_word_embeddings);
  CHECK_FALSE(parse("5.0.0", tied).tie_word_embeddings);
}

TEST_CASE("Gemma 2 scales words alone since 5.4, visual tokens too before") {
  const std::string text = R"("model_type": "gemma2", "hidden_size": 64)";
  const DecoderConfig before = parse("5.3.0", text);
  CHECK(before.input_scale == 8);
  CHECK(before.embedding_scale == 1);
  const DecoderConfig since = parse("5.4.0", text);
  CHECK(since.input_scale == 1);
  CHECK(since.embedding_scale == 8);
}

}  // namespace
}  // namespace saccade::testing
