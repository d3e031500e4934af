// hidden_act names: each as transformers' ACT2FN computes it in float64, by itself, as a gate and
// behind a linear layer.
#include "engine/layers/activation.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/layers/linear.h"
#include "tests/engine/catch.h"

namespace saccade {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr int kCount = 9;
const std::vector<float> kInputs = {-11, -3.5, -1, -0.25, 0, 0.5, 2, 7, 12};

struct Row {
  const char* name;
  std::vector<double> values;  // of kInputs
};
const std::vector<Row> kRows = {
    {"gelu", {-0, -0.0008142018, -0.1586553, -0.1003234, 0, 0.3457312, 1.9545, 7, 12}},
    {"gelu_10", {-0, -0.0008142018, -0.1586553, -0.1003234, 0, 0.3457312, 1.9545, 7, 10}},
    {"gelu_accurate", {-0, -0.0006161977, -0.158808, -0.1003246, 0, 0.345714, 1.954598, 7, 12}},
    {"gelu_fast", {-0, -0.0006161977, -0.158808, -0.1003246, 0, 0.345714, 1.954598, 7, 12}},
    {"gelu_new", {-0, -0.0006161977, -0.158808, -0.1003246, 0, 0.345714, 1.954598, 7, 12}},
    {"gelu_python", {-0, -0.0008142018, -0.1586553, -0.1003234, 0, 0.3457312, 1.9545, 7, 12}},
    {"gelu_python_tanh", {-0, -0.0006161977, -0.158808, -0.1003246, 0, 0.345714, 1.954598, 7, 12}},
    {"gelu_pytorch_tanh", {-0, -0.0006161977, -0.158808, -0.1003246, 0, 0.345714, 1.954598, 7, 12}},
    {"hardswish", {-0, -0, -0.3333333, -0.1145833, 0, 0.2916667, 1.666667, 7, 12}},
    {"laplace", {0, 0, 7.173726e-10, 0.0003458431, 0.00609446, 0.2314211, 0.9999977, 1, 1}},
    {"leaky_relu", {-0.11, -0.035, -0.01, -0.0025, 0, 0.5, 2, 7, 12}},
    {"linear", {-11, -3.5, -1, -0.25, 0, 0.5, 2, 7, 12}},
    {"mish",
     {-0.0001837172, -0.1040958, -0.3034015, -0.129927, 0, 0.3752452, 1.943959, 6.999988, 12}},
    {"quick_gelu",
     {-8.138257e-08, -0.009033446, -0.1542042, -0.09880035, 0, 0.3503884, 1.935659, 6.999953, 12}},
    {"relu", {0, 0, 0, 0, 0, 0.5, 2, 7, 12}},
    {"relu2", {0, 0, 0, 0, 0, 0.25, 4, 49, 144}},
    {"relu6", {0, 0, 0, 0, 0, 0.5, 2, 6, 6}},
    {"sigmoid",
     {1.670142e-05, 0.02931223, 0.2689414, 0.4378235, 0.5, 0.6224593, 0.8807971, 0.9990889,
      0.9999939}},
    {"silu",
     {-0.0001837156, -0.1025928, -0.2689414, -0.1094559, 0, 0.3112297, 1.761594, 6.993623,
      11.99993}},
    {"sqrtsoftplus",
     {0.004086754, 0.1724831, 0.5596979, 0.7589067, 0.8325546, 0.9869534, 1.458399, 2.645924,
      3.464103}},
    {"swish",
     {-0.0001837156, -0.1025928, -0.2689414, -0.1094559, 0, 0.3112297, 1.761594, 6.993623,
      11.99993}},
    {"tanh", {-1, -0.9981779, -0.7615942, -0.2449187, 0, 0.4621172, 0.9640276, 0.9999983, 1}},
};

double distance(const at::Tensor& found, const std::vector<double>& expected) {
  const at::Tensor wanted = at::tensor(expected, at::kDouble).view_as(found);
  return (found.to(at::kDouble) - wanted).abs().max().item<double>();
}

}  // namespace

TEST_CASE("activations by their names equal the reference library's") {
  const c10::InferenceMode guard;
  const at::Tensor x = at::tensor(kInputs, at::kFloat).view({1, kCount});
  const Linear identity(at::eye(kCount), std::nullopt);
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    const Activation activation = parse_activation(row.name, "config.json: hidden_act");
    CHECK(distance(activate(x, activation), row.values) < 1e-5);
    CHECK(distance(activate(x.to(at::kDouble), activation), row.values) < 1e-5);
    CHECK(distance(activate_gated(at::cat({x, at::full_like(x, 0.5)}, 1), activation) * 2,
                   row.values) < 1e-5);
    CHECK(distance(identity.activated(x, activation), row.values) < 1e-5);
  }
}

TEST_CASE("activations with weights of their own are refused by name") {
  for (const char* name : {"prelu", "xielu", "Gelu", ""}) {
    CAPTURE(name);
    CHECK_THROWS_WITH(parse_activation(name, "config.json: hidden_act"),
                      ContainsSubstring("config.json: hidden_act: activation \"" +
                                        std::string(name) + "\" is not supported"));
  }
}

}  // namespace saccade
