// Connectors that read an instruction run anew for each, on what the tower once made of the
// picture.
#include "engine/runtime/encoder_outputs.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "tests/engine/models/golden.h"

namespace saccade::testing {
namespace {

// The same picture for another instruction.
EncoderInput asked(const EncoderInput& input, std::vector<TokenId> instruction) {
  EncoderInput other = input;
  other.instruction = std::move(instruction);
  ++other.key.bytes[0];
  return other;
}

// What only the picture's name tells: whoever looks at its pixels sees another picture.
EncoderInput without_pixels(EncoderInput input) {
  MediaItem item = *input.media;
  std::fill(item.pixels.begin(), item.pixels.end(), 0.0f);
  input.media = std::make_shared<const MediaItem>(std::move(item));
  return input;
}

Batch tasks(std::vector<EncodeTask> encode) {
  Batch batch;
  batch.encode = std::move(encode);
  return batch;
}

}  // namespace

TEST_CASE("another instruction for a kept picture gives what the whole encoder does") {
  const c10::InferenceMode guard;
  for (const char* name : {"instructblip", "instructblipvideo"}) {
    INFO(name);
    const Golden golden(name);
    GoldenWeights weights(golden);
    const auto model = weights.family.build(weights.folder, weights.map.root());
    CHECK(weights.family.describe(weights.folder).tower_rows > 0);
    const EncoderInput input = golden.media(golden.cases().front()).front();
    std::vector<TokenId> instruction = input.instruction;
    std::reverse(instruction.begin(), instruction.end());
    const EncoderInput second = asked(input, instruction);
    const EncoderInput unseen = without_pixels(second);
    const at::Tensor expected = model->encode({&second})[0];

    EncoderOutputs outputs;
    outputs.update(tasks({{&input, Tower::kKept}}), *model);
    CHECK(max_abs(*outputs.find(input.key), model->encode({&input})[0]) == 0);
    CHECK(max_abs(expected, *outputs.find(input.key)) > 1e-3);  // the connector reads it
    outputs.update(tasks({{&unseen, Tower::kResident}}), *model);
    CHECK(max_abs(*outputs.find(second.key), expected) == 0);

    SECTION(std::string("evicted, the tower runs again: ") + name) {
      Batch again = tasks({{&unseen, Tower::kKept}});
      again.evict = {second.key};
      again.evict_towers = {input.media->hash};
      outputs.update(again, *model);
      CHECK(max_abs(*outputs.find(second.key), expected) > 1e-3);
    }
    SECTION(std::string("both in one step, the tower runs once: ") + name) {
      EncoderOutputs fresh;
      fresh.update(tasks({{&input, Tower::kKept}, {&unseen, Tower::kResident}}), *model);
      CHECK(max_abs(*fresh.find(second.key), expected) <= 1e-5);  // as one batch
    }
  }
}

TEST_CASE("a picture that cannot be encoded leaves the others of its step") {
  const c10::InferenceMode guard;
  const Golden golden("instructblip");
  GoldenWeights weights(golden);
  const auto model = weights.family.build(weights.folder, weights.map.root());
  const EncoderInput good = golden.media(golden.cases().front()).front();
  EncoderInput bad = asked(good, good.instruction);
  MediaItem item = *good.media;
  item.pixels.pop_back();
  ++item.hash.bytes[0];
  bad.media = std::make_shared<const MediaItem>(std::move(item));

  EncoderOutputs outputs;
  const auto report = outputs.update(tasks({{&bad, Tower::kKept}, {&good, Tower::kKept}}), *model);
  REQUIRE(report.failures.size() == 1);
  CHECK(report.failures[0].find("the preprocessed picture is ") == 0);
  CHECK(report.seconds.size() == 2);
  CHECK(outputs.find(bad.key) == nullptr);
  CHECK(max_abs(*outputs.find(good.key), model->encode({&good})[0]) == 0);
}

}  // namespace saccade::testing
