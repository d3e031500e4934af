// Decoders that look at pictures from within: each stage of IDEFICS against the reference library's
// tensors, and what must hold whatever the weights are.

#include <c10/core/InferenceMode.h>

#include "engine/models/gated_cross_attention.h"
#include "engine/models/resampler.h"
#include "engine/models/vit.h"
#include "tests/engine/models/golden.h"
#include "tests/engine/weights/edit_safetensors.h"
#include "tests/engine/weights/test_folder.h"

namespace saccade::testing {
namespace {

constexpr double kStage = 2e-6;

struct Built {
  explicit Built(const std::filesystem::path& path)
      : folder(path),
        family(find_family(folder)),
        map(std::make_shared<const Checkpoint>(path), family.renames, at::kFloat, test_device()),
        model(family.build(folder, map.root())) {}

  ModelFolder folder;
  const ModelFamily& family;
  WeightMap map;
  std::unique_ptr<VisionLanguageModel> model;
};

GoldenCase prompt_of(std::vector<TokenId> ids, std::vector<MediaSpan> spans) {
  GoldenCase c;
  c.input_ids = std::move(ids);
  c.spans = std::move(spans);
  return c;
}

MediaSpan look(int position, int length, int media, int rows) {
  MediaSpan span{position, length, media, 0};
  span.memory_rows = rows;
  return span;
}

}  // namespace

TEST_CASE("IDEFICS: tower, resampler and cross-attention equal the reference stage by stage") {
  const c10::InferenceMode guard;
  const Golden golden("idefics");
  int seen = 0;
  for (const GoldenCase& c : golden.cases()) {
    if (!golden.has(c, "resampler")) continue;
    INFO(c.name);
    ++seen;
    GoldenWeights weights(golden);
    const WeightScope root = weights.map.root()("model");
    const auto stage = [&](const std::string& key) {
      return golden.tensor(c, key).to(test_device());
    };

    const VitConfig vision = VitConfig::idefics(weights.folder.section("vision_config"));
    const Vit tower(vision, root("vision_model"), vision.num_layers, false);
    CHECK(max_abs(tower.embeddings(stage("pixel_values")), stage("vit.embeddings")) <= 6e-6);
    CHECK(max_abs(tower.block(0, stage("vit.embeddings")), stage("vit.block.0")) <= kStage);
    CHECK(max_abs(tower.block(1, stage("vit.block.0")), stage("vit.block.1")) <= kStage);

    const JsonView perceiver = weights.folder.section("perceiver_config");
    const Resampler resampler(ResamplerConfig::parse(perceiver, vision.hidden_size),
                              root("perceiver_resampler"));
    const at::Tensor rows = stage("resampler");
    CHECK(max_abs(resampler(stage("vit.block.1")), rows) <= kStage);

    const GatedCrossConfig config = {.hidden_size = 32,
                                     .intermediate_size = 56,
                                     .num_heads = 4,
                                     .head_dim = 8,
                                     .memory_size = vision.hidden_size,
                                     .qk_norm = true,
                                     .vector_gates = true,
                                     .norm_eps = 1e-5};
    for (const int i : {0, 1}) {
      const GatedCrossAttention block(config, root("gated_cross_attn_layers")(i), 0);
      const std::vector<at::Tensor> memories = block.memory(rows).unbind(0);
      AttentionInput input;
      for (const MediaSpan& span : c.spans) {
        input.memories.push_back({span.position, span.length, memories[span.media]});
      }
      const at::Tensor before = stage(i == 0 ? "inputs_embeds" : "decoder.layer.1");
      CHECK(max_abs(block(before, input), stage("decoder.cross." + std::to_string(i))) <= 1e-5);
    }
  }
  CHECK(seen > 0);
}

TEST_CASE("IDEFICS with its gates shut is the LLaMA it was made from, bit for bit") {
  const c10::InferenceMode guard;
  const Golden golden("idefics");
  const TestFolder shut, plain;
  std::string config = bytes_of(golden.folder() / "config.json");
  shut.write("config.json", config);
  shut.write("tokenizer.json", bytes_of(golden.folder() / "tokenizer.json"));
  const std::string weights = bytes_of(golden.folder() / "model.safetensors");
  shut.write("model.safetensors", with_zeroed(weights, ".alpha_"));
  const std::string type = "\"model_type\": \"idefics\"";
  config.replace(config.find(type), type.size(), "\"model_type\": \"llama\"");
  plain.write("config.json", config);
  plain.write("model.safetensors", weights);

  const Built idefics(shut.path()), llama(plain.path());
  const GoldenCase& c = golden.cases()[0];
  const std::vector<EncoderInput> media = golden.media(c);
  const std::vector<at::Tensor> memory = idefics.model->encode({&media[0]});
  const std::vector<TokenId> ids = {1, 300, 41, 270, 290, 333, 7, 300};
  const GoldenCase looking = prompt_of(ids, {look(2, 6, 0, 4)});
  const at::Tensor expected = prefill(*llama.model, prompt_of(ids, {}), {}, at::kFloat);
  CHECK(at::equal(prefill(*idefics.model, looking, memory, at::kFloat), expected));
  const Built open(golden.folder());
  CHECK(max_abs(prefill(*open.model, looking, memory, at::kFloat), expected) > 0.1);
}

TEST_CASE("IDEFICS: a token looks at the last picture alone") {
  const c10::InferenceMode guard;
  const Golden golden("idefics");
  const Built built(golden.folder());
  const auto two = std::find_if(golden.cases().begin(), golden.cases().end(),
                                [](const GoldenCase& c) { return c.parts.size() == 2; });
  REQUIRE(two != golden.cases().end());
  const std::vector<EncoderInput> media = golden.media(*two);
  const std::vector<at::Tensor> memory = built.model->encode({&media[0], &media[1]});
  const std::vector<at::Tensor> other = {memory[1], memory[1]};
  const std::vector<TokenId> ids = {1, 300, 41, 270, 290, 333, 7, 300};
  const GoldenCase c = prompt_of(ids, {look(2, 2, 0, 4), look(4, 4, 1, 4)});
  const at::Tensor right = prefill(*built.model, c, memory, at::kFloat);
  const at::Tensor wrong = prefill(*built.model, c, other, at::kFloat);
  const at::Tensor moved = (right - wrong).abs().amax(1);  // [T]
  CHECK(moved.narrow(0, 0, 2).max().item<float>() == 0);   // words before the picture
  CHECK(moved.narrow(0, 2, 2).min().item<float>() > 1e-3);
}

}  // namespace saccade::testing
