#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/core/media.h"
#include "engine/core/types.h"
#include "engine/models/registry.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/weight_map.h"
#include "tests/engine/catch.h"

namespace saccade::testing {

// Reader of tests/golden (layout: scripts/golden/README.md).

struct GoldenCase {
  int index = 0;
  std::string name;
  std::vector<TokenId> input_ids;
  std::vector<TokenId> qformer_ids;
  std::vector<MediaSpan> spans;
  std::vector<int> parts;               // of each picture, then of each video; empty: one each
  std::vector<std::vector<int>> grids;  // rows, columns, height, width of each picture
  int videos = 0;                       // the last so many of `parts` are videos
  std::vector<TokenId> greedy_ids;
  std::vector<float> chosen_logprobs;
  std::vector<std::vector<std::pair<TokenId, float>>> top_logprobs;  // [step][5]
};

class Golden {
 public:
  explicit Golden(const std::string& name);

  static std::filesystem::path root();
  // Folders under tests/golden with a golden.json, sorted.
  static std::vector<std::string> names();

  const std::string& name() const { return name_; }
  std::filesystem::path folder() const { return root() / name_; }
  const std::vector<GoldenCase>& cases() const { return cases_; }

  bool has(const std::string& key) const;
  bool has(const GoldenCase& c, const std::string& key) const { return has(full(c, key)); }
  at::Tensor tensor(const GoldenCase& c, const std::string& key) const;

  // Rows of `connector` for each picture, [len, H], in the order of media().
  std::vector<at::Tensor> visual_tokens(const GoldenCase& c) const;

  // One encoder input per picture of the case, pixels as the reference's processor made them.
  std::vector<EncoderInput> media(const GoldenCase& c) const;

 private:
  std::vector<std::vector<at::Tensor>> pictures(const GoldenCase& c) const;
  static std::shared_ptr<MediaItem> item(const std::vector<at::Tensor>& parts);
  static std::string full(const GoldenCase& c, const std::string& key) {
    return "case" + std::to_string(c.index) + "." + key;
  }

  std::string name_;
  SafetensorsFile file_;
  std::vector<GoldenCase> cases_;
};

// A checkpoint's weights under canonical names.
struct GoldenWeights {
  explicit GoldenWeights(const Golden& golden, at::ScalarType dtype = at::kFloat);

  ModelFolder folder;
  const ModelFamily& family;
  WeightMap map;
};

// The device that tests run on: SACCADE_TEST_DEVICE ("cpu" when unset).
at::Device test_device();

double max_abs(const at::Tensor& a, const at::Tensor& b);

// SACCADE_GOLDEN_REPORT=FILE: a line "STAGE FOLDER DEVIATION" behind it, of which docs/models.md is
// made.
void report(std::string_view stage, const Golden& golden, double deviation);

// Whole prompt through embed, splice and forward at once, without a scheduler.
// ids [T] -> hidden [T, H]; `visual` replaces the rows of the case's spans, or is looked at.
at::Tensor prefill(VisionLanguageModel& model, const GoldenCase& c,
                   const std::vector<at::Tensor>& visual, at::ScalarType dtype);

}  // namespace saccade::testing
