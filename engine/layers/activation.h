#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace saccade {

enum class Activation { kGelu, kGeluTanh, kQuickGelu, kRelu, kSilu };

// Hugging Face's `hidden_act` names. Throws LoadError naming `field` for an unknown one.
Activation parse_activation(const std::string& name, const std::string& field);

at::Tensor activate(const at::Tensor& x, Activation activation);

// activation(gate) * up of rows [gate | up]: [n, 2 * inter] -> [n, inter]. The activation is
// rounded to the run's dtype before the product, as the reference's separate operators do.
at::Tensor activate_gated(const at::Tensor& gate_up, Activation activation);

}  // namespace saccade
