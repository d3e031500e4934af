// Each stage of a model against the reference library's tensors, fed with the golden input of that
// stage (tolerances: 2e-6 per stage, 1e-5 for the logits of a whole prompt).

#include <c10/core/InferenceMode.h>

#include "engine/models/encoder_batch.h"
#include "engine/models/llava_parts.h"
#include "engine/models/perceiver.h"
#include "engine/models/qformer.h"
#include "engine/models/qwen_vit.h"
#include "engine/models/vit.h"
#include "tests/engine/models/golden.h"

namespace saccade::testing {
namespace {

const double kStage = test_device().is_cpu() ? 2e-6 : 4e-6;  // a GPU sums in another order
// The patch convolution sums 588 products of pixels up to 2.2: the order of the sum alone moves it
// by a few units in the last place of values around 10.
constexpr double kPatches = 6e-6;
constexpr double kLogits = 1e-5;

// Runs `check` for each case that has the tensor `key`; at least one must.
template <typename Check>
void for_cases_with(const std::vector<std::string>& names, const std::string& key, Check check) {
  int seen = 0;
  for (const std::string& name : names) {
    const Golden golden(name);
    for (const GoldenCase& c : golden.cases()) {
      if (!golden.has(c, key)) continue;
      INFO(name << " case " << c.index << " " << c.name);
      ++seen;
      check(golden, c);
    }
  }
  REQUIRE(seen > 0);
}

std::vector<std::string> names_with(const std::string& prefix) {
  std::vector<std::string> names;
  for (const std::string& name : Golden::names()) {
    if (name.starts_with(prefix)) names.push_back(name);
  }
  return names;
}

std::vector<const EncoderInput*> pointers_to(const std::vector<EncoderInput>& media) {
  std::vector<const EncoderInput*> inputs;
  for (const EncoderInput& input : media) inputs.push_back(&input);
  return inputs;
}

std::vector<std::string> blip_names() {
  std::vector<std::string> names = names_with("instructblip");
  for (const std::string& name : names_with("blip2")) names.push_back(name);
  return names;
}

void check_tower(const Vit& vit, const Golden& golden, const GoldenCase& c) {
  // Where pictures differ in size the cases with tensors of each block have one of one part.
  const char* key = golden.has(c, "pixel_values") ? "pixel_values" : "pixel_values.0.0";
  at::Tensor pixels = golden.tensor(c, key).to(test_device());
  if (pixels.dim() == 3) pixels = pixels.unsqueeze(0);
  CHECK(max_abs(vit.embeddings(pixels), golden.tensor(c, "vit.embeddings")) <= kPatches);
  at::Tensor before = golden.tensor(c, "vit.embeddings");
  for (int i = 0; golden.has(c, "vit.block." + std::to_string(i)); ++i) {
    if (i >= vit.config().num_layers) break;
    const at::Tensor after = golden.tensor(c, "vit.block." + std::to_string(i));
    INFO("block " << i);
    CHECK(max_abs(vit.block(i, before.to(test_device())), after) <= kStage);
    before = after;
  }
}

}  // namespace

TEST_CASE("BLIP tower equals the reference block by block") {
  const c10::InferenceMode guard;
  for_cases_with(blip_names(), "vit.embeddings", [](const auto& golden, const auto& c) {
    GoldenWeights weights(golden);
    const VitConfig config = VitConfig::blip(weights.folder.section("vision_config"));
    const Vit vit(config, weights.map.root()("vision_model"), config.num_layers, true);
    check_tower(vit, golden, c);
    const std::string last = "vit.block." + std::to_string(config.num_layers - 1);
    const at::Tensor x = golden.tensor(c, last).to(test_device());
    CHECK(max_abs(vit.post_norm(x), golden.tensor(c, "vit.post_layernorm")) <= kStage);
  });
}

TEST_CASE("SigLIP NaViT equals the reference block by block") {
  const c10::InferenceMode guard;
  VitConfig defaults;
  defaults.layer_norm_eps = 1e-6;
  for_cases_with(names_with("idefics"), "vit.embeddings", [&](const auto& golden, const auto& c) {
    if (!golden.has(c, "vit.post_layernorm")) return;  // IDEFICS has a CLIP tower
    GoldenWeights weights(golden);
    const VitConfig config = VitConfig::navit(weights.folder.section("vision_config"), defaults,
                                              weights.folder.library_version());
    const Vit vit(config, weights.map.root()("model")("vision_model"), config.num_layers, true);
    check_tower(vit, golden, c);
    const std::string last = "vit.block." + std::to_string(config.num_layers - 1);
    const at::Tensor x = golden.tensor(c, last).to(test_device());
    CHECK(max_abs(vit.post_norm(x), golden.tensor(c, "vit.post_layernorm")) <= kStage);
  });
}

TEST_CASE("perceiver equals the reference layer by layer") {
  const c10::InferenceMode guard;
  for_cases_with(
      names_with("idefics2"), "perceiver.layer.0", [](const auto& golden, const auto& c) {
        GoldenWeights weights(golden);
        const JsonView text = weights.folder.section("text_config");
        const PerceiverConfig config = PerceiverConfig::parse(
            weights.folder.section("perceiver_config"), text.positive_int("hidden_size"),
            text.number("rms_norm_eps", 1e-6));
        const WeightScope connector = weights.map.root()("model")("connector");
        const Perceiver perceiver(config, connector("perceiver_resampler"));
        const at::Tensor context = golden.tensor(c, "projector").to(test_device());
        at::Tensor before = perceiver.latents(context.size(0));
        for (int i = 0; i < config.num_layers; ++i) {
          INFO("layer " << i);
          const at::Tensor after = golden.tensor(c, "perceiver.layer." + std::to_string(i));
          CHECK(max_abs(perceiver.layer(i, before, context), after) <= kStage);
          before = after.to(test_device());
        }
        const at::Tensor tokens = perceiver(context);
        CHECK(max_abs(tokens, golden.tensor(c, "connector")) <= kLogits);
      });
}

TEST_CASE("Qwen towers equal the reference block by block") {
  const c10::InferenceMode guard;
  for_cases_with(names_with("qwen2_"), "vit.embeddings", [](const auto& golden, const auto& c) {
    if (!golden.has(c, "vit.block.0")) return;
    GoldenWeights weights(golden);
    const JsonView section = weights.folder.section("vision_config");
    const QwenVitConfig config = weights.folder.model_type() == "qwen2_vl"
                                     ? QwenVitConfig::qwen2(section)
                                     : QwenVitConfig::qwen2_5(section);
    const QwenVit vit(config, weights.map.root()("model")("visual"));
    std::vector<PatchGrid> grids;
    std::vector<at::Tensor> rows;
    const std::vector<EncoderInput> media = golden.media(c);
    for (const EncoderInput& input : media) {
      rows.push_back(vit.patches(item_pixels(input), &grids.emplace_back()));
    }
    const at::Tensor embeddings = golden.tensor(c, "vit.embeddings");
    CHECK(max_abs(vit.embeddings(at::cat(rows)), embeddings) <= kPatches);
    const PatchLayout layout = vit.layout(grids);
    at::Tensor before = vit.sorted(embeddings.to(test_device()), layout);
    for (int i = 0; i < config.num_layers; ++i) {
      INFO("block " << i);
      const at::Tensor after = golden.tensor(c, "vit.block." + std::to_string(i));
      CHECK(max_abs(vit.block(i, before, layout), after) <= kStage);
      before = after.to(test_device());
    }
    CHECK(max_abs(vit.merge(before, layout), golden.tensor(c, "connector")) <= kLogits);
  });
}

TEST_CASE("rows of a position table for pictures of any size") {
  using Rule = PatchPositions;
  const auto rows = [](Rule rule, int64_t count, int64_t side) {
    const at::Tensor found = patch_positions(rule, count, side);
    return std::vector<int64_t>(found.const_data_ptr<int64_t>(),
                                found.const_data_ptr<int64_t>() + found.numel());
  };
  using Rows = std::vector<int64_t>;
  CHECK(rows(Rule::kFractions, 4, 4) == Rows{0, 1, 2, 3});
  CHECK(rows(Rule::kShrunkFractions, 4, 4) == Rows{0, 0, 1, 2});
  CHECK(rows(Rule::kClampedFractions, 4, 4) == Rows{0, 1, 2, 3});
  CHECK(rows(Rule::kFractions, 8, 4) == Rows{0, 0, 1, 1, 2, 2, 3, 3});
  CHECK(rows(Rule::kShrunkFractions, 8, 4) == Rows{0, 0, 0, 1, 1, 2, 2, 3});
  CHECK(rows(Rule::kShrunkFractions, 5, 6) == Rows{0, 1, 2, 3, 4});
  for (int64_t side = 1; side <= 70; ++side) {
    for (const Rule rule : {Rule::kFractions, Rule::kShrunkFractions, Rule::kClampedFractions}) {
      for (int64_t count = 1; count <= 2 * side; ++count) {
        const Rows found = rows(rule, count, side);
        REQUIRE(int64_t(found.size()) == count);
        CHECK(std::is_sorted(found.begin(), found.end()));
        CHECK(found.front() == 0);
        CHECK(found.back() < side);
      }
    }
  }
}

TEST_CASE("CLIP and SigLIP towers equal the reference block by block") {
  const c10::InferenceMode guard;
  for_cases_with(names_with("llava"), "vit.embeddings", [](const auto& golden, const auto& c) {
    GoldenWeights weights(golden);
    const VitConfig config = LlavaConfig::parse(weights.folder, {}).vision;
    const Vit vit(config, weights.map.root()("vision_tower"), config.num_layers, false);
    check_tower(vit, golden, c);
  });
}

TEST_CASE("Q-Former equals the reference layer by layer") {
  const c10::InferenceMode guard;
  for_cases_with(blip_names(), "qformer.embeddings", [](const auto& golden, const auto& c) {
    GoldenWeights weights(golden);
    const JsonView config = weights.folder.config();
    QFormerConfig qformer_config = QFormerConfig::parse(weights.folder.section("qformer_config"),
                                                        config.positive_int("num_query_tokens"));
    const at::Tensor image = golden.tensor(c, "vit.post_layernorm").to(test_device());
    qformer_config.encoder_hidden_size = static_cast<int>(image.size(2));
    qformer_config.reads_text = golden.has(c, "qformer_input_ids");
    const WeightScope root = weights.map.root();
    const QFormer qformer(
        qformer_config, root("qformer"),
        root.tensor("query_tokens", {1, qformer_config.num_queries, qformer_config.hidden_size}));
    const at::Tensor ids =
        qformer_config.reads_text
            ? golden.tensor(c, "qformer_input_ids").repeat({image.size(0), 1}).to(test_device())
            : at::empty({1, 0}, at::dtype(at::kLong).device(test_device()));
    at::Tensor before = golden.tensor(c, "qformer.embeddings");
    CHECK(max_abs(qformer.embed(ids), before) <= kStage);
    for (int i = 0; i < qformer_config.num_layers; ++i) {
      INFO("layer " << i);
      const at::Tensor after = golden.tensor(c, "qformer.layer." + std::to_string(i));
      CHECK(max_abs(qformer.layer(i, before.to(test_device()), image), after) <= kStage);
      before = after;
    }
    CHECK(max_abs(qformer(image, ids), golden.tensor(c, "qformer.output")) <= kLogits);
  });
}

TEST_CASE("the encoder's output equals the reference's connector") {
  const c10::InferenceMode guard;
  for_cases_with(Golden::names(), "connector", [](const auto& golden, const auto& c) {
    GoldenWeights weights(golden);
    const auto model = weights.family.build(weights.folder, weights.map.root());
    const std::vector<EncoderInput> media = golden.media(c);
    const std::vector<at::Tensor> expected = golden.visual_tokens(c);
    const std::vector<at::Tensor> encoded = model->encode(pointers_to(media));
    REQUIRE(encoded.size() == expected.size());
    for (size_t i = 0; i < encoded.size(); ++i) {
      const double deviation = max_abs(encoded[i], expected[i]);
      CHECK(deviation <= kLogits);
      report("connector", golden, deviation);
    }
  });
}

TEST_CASE("logits of whole prompts equal the reference's") {
  const c10::InferenceMode guard;
  for (const char* key : {"prefill_logits", "prefill_tail_logits"}) {
    for_cases_with(Golden::names(), key, [&](const auto& golden, const auto& c) {
      GoldenWeights weights(golden);
      const auto model = weights.family.build(weights.folder, weights.map.root());
      std::vector<at::Tensor> visual;
      if (golden.has(c, "connector")) {
        for (const at::Tensor& rows : golden.visual_tokens(c)) {
          visual.push_back(rows.to(test_device()));
        }
      } else if (!c.spans.empty()) {  // what the decoder looks at is no stage of the reference's
        const std::vector<EncoderInput> media = golden.media(c);
        visual = model->encode(pointers_to(media));
      }
      const at::Tensor expected = golden.tensor(c, key);
      const at::Tensor h = prefill(*model, c, visual, at::kFloat);
      const int64_t rows = expected.size(0);
      const at::Tensor logits = model->logits(h.narrow(0, h.size(0) - rows, rows));
      const double deviation = max_abs(logits, expected);
      CHECK(deviation <= kLogits);
      report("logits", golden, deviation);
    });
  }
}

TEST_CASE("float64 run from pixels to logits equals the reference's float64 run") {
  // Sees what float32 noise hides: an epsilon of 1e-5 for 1e-6 moves the logits by 5e-6.
  const c10::InferenceMode guard;
  for_cases_with(Golden::names(), "fp64.prefill_logits", [](const auto& golden, const auto& c) {
    GoldenWeights weights(golden, at::kDouble);
    const auto model = weights.family.build(weights.folder, weights.map.root());
    const std::vector<EncoderInput> media = golden.media(c);
    const at::Tensor h = prefill(*model, c, model->encode(pointers_to(media)), at::kDouble);
    const at::Tensor expected = golden.tensor(c, "fp64.prefill_logits").to(at::kDouble) +
                                golden.tensor(c, "fp64.prefill_logits_lo").to(at::kDouble);
    const int64_t rows = expected.size(0);
    const double deviation = max_abs(model->logits(h.narrow(0, h.size(0) - rows, rows)), expected);
    CHECK(deviation <= 1e-6);
    report("float64", golden, deviation);
  });
}

}  // namespace saccade::testing
