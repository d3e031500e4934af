// What of a multimodal folder's config.json depends on the library's release.

#include "engine/models/decoder_model.h"

#include "engine/runtime/load_model.h"
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

const std::string kFactors = R"("short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2])";
const std::string kHeads =
    R"("hidden_size": 16, "num_attention_heads": 2, "max_position_embeddings": 512, )";

TEST_CASE("longrope: 4.x takes the factor where no original length stands beside, 5.x any") {
  const std::string scaling = R"({"rope_type": "longrope", "factor": 3, )" + kFactors;
  const std::string original = R"("original_max_position_embeddings": 64)";
  const RopeConfig alone = parse("4.57.6", kHeads + R"("rope_scaling": )" + scaling + "}").rope;
  CHECK(alone.original_max_positions == 512);
  CHECK(alone.factor == 3);
  const RopeConfig beside =
      parse("4.57.6", kHeads + original + R"(, "rope_scaling": )" + scaling + "}").rope;
  CHECK(beside.original_max_positions == 64);
  CHECK(beside.factor == 8);
  const RopeConfig within =
      parse("4.57.6", kHeads + R"("rope_scaling": )" + scaling + ", " + original + "}").rope;
  CHECK(within.original_max_positions == 512);
  const RopeConfig fifth =
      parse("5.18.0", kHeads + R"("rope_parameters": )" + scaling + ", " + original + "}").rope;
  CHECK(fifth.original_max_positions == 64);
  CHECK(fifth.factor == 3);
}

TEST_CASE("5.x: yarn's factor may be derived, and a length beside the parameters has priority") {
  const std::string yarn = R"("rope_parameters": {"rope_type": "yarn", "factor": null,)"
                           R"( "original_max_position_embeddings": 64})";
  CHECK(parse("5.18.0", kHeads + yarn).rope.factor == 8);
  const std::string beside = R"("original_max_position_embeddings": 32, )";
  CHECK(parse("5.18.0", kHeads + beside + yarn).rope.original_max_positions == 32);
}

TEST_CASE("only Phi-3 computes its keys anew beyond the original length of longrope") {
  for (const char* type : {"phi3", "llama", "mistral"}) {
    CAPTURE(type);
    const TestFolder folder;
    folder.write("config.json", R"({"model_type": ")" + std::string(type) +
                                    R"(", "num_key_value_heads": 2, )" + kHeads +
                                    R"("original_max_position_embeddings": 64, )"
                                    R"("rope_scaling": {"rope_type": "longrope", )" +
                                    kFactors + "}}");
    const ModelInfo info = describe_model(folder.path());
    CHECK(info.recompute_beyond == (std::string(type) == "phi3" ? 64 : 0));
  }
}

}  // namespace
}  // namespace saccade::testing
