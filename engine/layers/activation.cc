#include "engine/layers/activation.h"

#include <ATen/ATen.h>

#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/kernels/activation.h"
#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"
#include "engine/weights/json.h"

namespace saccade {
namespace {

// Cumulative normal distribution of mean and deviation that make it the squared relu's neighbour
// (Ma et al. 2022, "Mega").
at::Tensor laplace(const at::Tensor& x) {
  constexpr double kMean = 0.707107, kDeviation = 0.282095, kRootTwo = 1.4142135623730951;
  return 0.5 * (1.0 + at::erf((x - kMean) / (kDeviation * kRootTwo)));
}

at::Tensor activated_by_operators(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kQuickGelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kClippedGelu:
      return at::clamp(at::gelu(x), -10, 10);
    case Activation::kHardSwish:
      return at::hardswish(x);
    case Activation::kLaplace:
      return laplace(x);
    case Activation::kLeakyRelu:
      return at::leaky_relu(x);
    case Activation::kMish:
      return at::mish(x);
    case Activation::kRelu6:
      return at::clamp(x, 0, 6);
    case Activation::kSigmoid:
      return at::sigmoid(x);
    case Activation::kSqrtSoftplus:
      return at::sqrt(at::softplus(x));
    case Activation::kSquaredRelu:
      return at::square(at::relu(x));
    case Activation::kTanh:
      return at::tanh(x);
  }
  return x;
}

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
// All names of transformers' ACT2FN but those of activations with weights of their own ("prelu",
// "xielu").
constexpr NamedActivation kNames[] = {
    {"gelu", Activation::kGelu},
    {"gelu_10", Activation::kClippedGelu},
    {"gelu_accurate", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_python", Activation::kGelu},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"hardswish", Activation::kHardSwish},
    {"laplace", Activation::kLaplace},
    {"leaky_relu", Activation::kLeakyRelu},
    {"linear", Activation::kNone},
    {"mish", Activation::kMish},
    {"quick_gelu", Activation::kQuickGelu},
    {"relu", Activation::kRelu},
    {"relu2", Activation::kSquaredRelu},
    {"relu6", Activation::kRelu6},
    {"sigmoid", Activation::kSigmoid},
    {"silu", Activation::kSilu},
    {"sqrtsoftplus", Activation::kSqrtSoftplus},
    {"swish", Activation::kSilu},
    {"tanh", Activation::kTanh},
};

}  // namespace

Activation parse_activation(const std::string& name, const std::string& field) {
  for (const NamedActivation& row : kNames) {
    if (row.name == name) return row.activation;
  }
  throw LoadError(field + ": activation " + printable(name) + " is not supported");
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  const ProfileScope scope(KernelClass::kElementwise);
  if (!x.is_cpu() || !has_kernels(x) || !has_kernel(activation)) {
    return activated_by_operators(x, activation);
  }
  const at::Tensor from = x.contiguous();
  at::Tensor out = at::empty_like(from);
  const int64_t width = from.size(-1), rows = width > 0 ? from.numel() / width : 0;
  kernels::activate(activation, element_type(from), rows, width, from.const_data_ptr(), width,
                    out.data_ptr(), width);
  return out;
}

at::Tensor activate_gated(const at::Tensor& gate_up, Activation activation) {
  const ProfileScope scope(KernelClass::kElementwise);
  const int64_t width = gate_up.size(-1), inter = width / 2;
  if (!has_kernels(gate_up) || !has_kernel(activation)) {
    return activated_by_operators(gate_up.narrow(-1, 0, inter), activation) *
           gate_up.narrow(-1, inter, inter);
  }
  const at::Tensor from = gate_up.contiguous();
  std::vector<int64_t> shape = from.sizes().vec();
  shape.back() = inter;
  at::Tensor out = at::empty(shape, from.options());
  device_kernels::gate_mul(from, activation, from.numel() / width, inter, from.const_data_ptr(),
                           width, out.data_ptr(), inter);
  return out;
}

}  // namespace saccade
