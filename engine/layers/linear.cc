#include "engine/layers/linear.h"

#include <ATen/ATen.h>

#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

std::optional<at::Tensor> read_bias(const WeightScope& scope, int64_t out, Bias bias) {
  if (bias == Bias::kNone || (bias == Bias::kIfPresent && !scope.has("bias"))) return std::nullopt;
  return scope.tensor("bias", {out});
}

kernels::WeightFormat weight_format(kernels::ElementType type, Quantization quantization) {
  switch (quantization) {
    case Quantization::kInt8:
      return kernels::WeightFormat::kInt8;
    case Quantization::kInt4:
      return kernels::WeightFormat::kInt4;
    case Quantization::kNone:
      break;
  }
  return type == kernels::ElementType::kFloat32 ? kernels::WeightFormat::kFloat32
                                                : kernels::WeightFormat::kBFloat16;
}

}  // namespace

struct Linear::Update {
  int adapter;
  int64_t first;  // of the outputs
  int64_t out;
  std::unique_ptr<Linear> down;  // null: a change of bias alone
  std::unique_ptr<Linear> up;
  at::Tensor bias;  // [out] what is added to the model's own
};

Linear::Linear(const WeightScope& scope, int64_t in, int64_t out, Bias bias)
    : bias_(read_bias(scope, out, bias)), in_(in), out_(out), rows_{{scope.name(), 0, out}} {
  pack(scope.tensor("weight", {out, in}), scope.quantization());
}

Linear::Linear(const std::vector<Part>& parts, int64_t in, Bias bias) : in_(in) {
  std::vector<at::Tensor> weights, biases;
  bool any_bias = false;
  for (const Part& part : parts) {
    rows_.push_back({part.scope.name(), out_, part.out});
    out_ += part.out;
    weights.push_back(part.scope.tensor("weight", {part.out, in}));
    const std::optional<at::Tensor> own = read_bias(part.scope, part.out, bias);
    any_bias |= own.has_value();
    biases.push_back(own ? *own : at::zeros({part.out}, weights.back().options()));
  }
  if (any_bias) bias_ = at::cat(biases);
  pack(at::cat(weights), parts.front().scope.quantization());
}

Linear::Linear(const at::Tensor& weight, const std::optional<at::Tensor>& bias,
               Quantization quantization)
    : bias_(bias), in_(weight.size(1)), out_(weight.size(0)) {
  pack(weight, quantization);
}

void Linear::pack(const at::Tensor& weight, Quantization quantization) {
  if (!has_kernels(weight)) {
    weight_ = weight;
    return;
  }
  const at::Tensor rows = weight.contiguous();
  packed_ = kernels::PackedLinear::pack(rows.const_data_ptr(), element_type(rows), out_, in_,
                                        weight_format(element_type(rows), quantization));
  if (bias_) bias_ = bias_->to(at::kFloat).contiguous();
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  const ProfileScope scope(KernelClass::kLinear);
  return packed_ ? run_packed(x) : at::linear(x, weight_, bias_);
}

at::Tensor Linear::operator()(const at::Tensor& x, const AdapterRuns& runs) const {
  at::Tensor y = (*this)(x);
  if (updates_.empty()) return y;
  for (const AdapterRun& run : runs) {
    const at::Tensor rows = x.narrow(0, run.first, run.count);
    for (const std::shared_ptr<const Update>& update : updates_) {
      if (update->adapter != run.adapter) continue;
      at::Tensor out = y.narrow(0, run.first, run.count).narrow(1, update->first, update->out);
      out.add_(update->down ? (*update->up)((*update->down)(rows)) : update->bias);
    }
  }
  return y;
}

void Linear::add_update(int adapter, const Row& part, const at::Tensor& down,
                        const at::Tensor& up) {
  auto update = std::make_shared<Update>();
  update->adapter = adapter;
  update->first = part.first;
  update->out = part.out;
  update->down = std::make_unique<Linear>(down, std::nullopt);
  update->up = std::make_unique<Linear>(up, std::nullopt);
  updates_.push_back(std::move(update));
}

void Linear::replace_bias(int adapter, const Row& part, const at::Tensor& bias) {
  auto update = std::make_shared<Update>();
  update->adapter = adapter;
  update->first = part.first;
  update->out = part.out;
  const at::Tensor own =
      bias_ ? bias_->narrow(0, part.first, part.out).to(bias.scalar_type()) : at::zeros_like(bias);
  update->bias = bias - own;
  updates_.push_back(std::move(update));
}

at::Tensor Linear::run_packed(const at::Tensor& x) const {
  const at::Tensor rows = x.reshape({-1, in_}).contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out_;
  at::Tensor y = at::empty(shape, x.options());
  if (StepProfile* profile = ProfileCollection::current()) {
    profile->weight_bytes += static_cast<int64_t>(packed_->bytes());
    profile->flops += 2 * rows.size(0) * in_ * out_;
  }
  packed_->run(rows.const_data_ptr(), element_type(rows), in_, rows.size(0),
               bias_ ? bias_->const_data_ptr<float>() : nullptr, y.data_ptr(), out_,
               element_type(y));
  return y;
}

}  // namespace saccade
