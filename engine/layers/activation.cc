#include "engine/layers/activation.h"

#include <ATen/ATen.h>

#include <optional>

#include "engine/core/status.h"
#include "engine/kernels/activation.h"
#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

// The activations that have a kernel together with the product behind them.
std::optional<kernels::Gate> gate_kernel(Activation activation) {
  if (activation == Activation::kSilu) return kernels::Gate::kSilu;
  if (activation == Activation::kGeluTanh) return kernels::Gate::kGeluTanh;
  return std::nullopt;
}

}  // namespace

Activation parse_activation(const std::string& name, const std::string& field) {
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") {
    return Activation::kGeluTanh;
  }
  if (name == "quick_gelu") return Activation::kQuickGelu;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu" || name == "swish") return Activation::kSilu;
  throw LoadError(field + ": activation \"" + name + "\" is not supported");
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  const ProfileScope scope(KernelClass::kElementwise);
  switch (activation) {
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
  }
  return x;
}

at::Tensor activate_gated(const at::Tensor& gate_up, Activation activation) {
  const ProfileScope scope(KernelClass::kElementwise);
  const int64_t inter = gate_up.size(1) / 2;
  const std::optional<kernels::Gate> gate = gate_kernel(activation);
  if (gate && has_kernels(gate_up)) {
    at::Tensor out = at::empty({gate_up.size(0), inter}, gate_up.options());
    device_kernels::gate_mul(gate_up, *gate, gate_up.size(0), inter, gate_up.const_data_ptr(),
                             gate_up.stride(0), out.data_ptr(), out.stride(0));
    return out;
  }
  return activate(gate_up.narrow(1, 0, inter), activation) * gate_up.narrow(1, inter, inter);
}

}  // namespace saccade
