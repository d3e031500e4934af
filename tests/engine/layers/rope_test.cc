// Rotary frequencies against the reference's modeling_rope_utils.py (5.24).
#include "engine/layers/rope.h"

#include <ATen/ATen.h>

#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <string>
#include <vector>

#include "tests/engine/catch.h"

namespace saccade {
namespace {

struct Row {
  const char* config;
  std::vector<double> angles;  // [rotary_dim / 2] of position 1: the frequencies
};

const std::vector<Row> kRows = {
    {R"({"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4, "factor": 2.0,
                             "partial_rotary_factor": 0.5}})",
     {0.5, 0.05, 0, 0}},
    {R"({"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4},
         "partial_rotary_factor": 0.8})",  // int(0.8 * 8 // 2) of 4 turn
     {1, 0.1, 0.01, 0}},
    {R"({"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4}})",
     {1, 0.1, 0.01, 0.001}},
    {R"({"rope_scaling": {"type": "linear", "factor": 4.0}})", {0.25, 0.025, 0.0025, 0.00025}},
};

TEST_CASE("each kind of rope turns by the reference's frequencies") {
  constexpr int kDim = 8;
  for (const Row& row : kRows) {
    CAPTURE(row.config);
    const Json json = parse_json(row.config, "config.json");
    const Rope rope(RopeConfig::parse(JsonView(json, "config.json"), kDim, 64));
    const RopePosition first = {.axes = {1, 1, 1}, .index = 1, .computed_len = 2, .total_len = 2};
    const at::Tensor tables = rope.tables({first}, at::Tensor());  // [2, 1, kDim / 2]
    const at::Tensor angles = at::atan2(tables[1][0], tables[0][0]).to(at::kDouble).contiguous();
    REQUIRE(angles.numel() == kDim / 2);
    for (int i = 0; i < kDim / 2; ++i) {
      CHECK_THAT(angles.const_data_ptr<double>()[i],
                 Catch::Matchers::WithinAbs(row.angles[i], 1e-6));
    }
  }
}

}  // namespace
}  // namespace saccade
