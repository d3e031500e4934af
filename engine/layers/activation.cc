#include "engine/layers/activation.h"

#include <ATen/ATen.h>

#include <vector>

#include "engine/core/status.h"
#include "engine/kernels/activation.h"
#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

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
  }
  return x;
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
  if (!x.is_cpu() || !has_kernels(x)) return activated_by_operators(x, activation);
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
  if (!has_kernels(gate_up)) {
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
