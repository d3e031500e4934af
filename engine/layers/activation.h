#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "engine/kernels/activation.h"

namespace saccade {

using kernels::Activation;

// Hugging Face's `hidden_act` names. Throws LoadError naming `field` for an unknown one.
Activation parse_activation(const std::string& name, const std::string& field);

at::Tensor activate(const at::Tensor& x, Activation activation);

// activation(gate) * up of rows [gate | up]: [..., 2 * inter] -> [..., inter]. The activation is
// rounded to the run's dtype before the product, as the reference's separate operators do.
at::Tensor activate_gated(const at::Tensor& gate_up, Activation activation);

}  // namespace saccade
