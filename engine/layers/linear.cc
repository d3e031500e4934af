#include "engine/layers/linear.h"

#include <ATen/ATen.h>

#include "engine/layers/device_kernels.h"
#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

namespace saccade {
namespace {

std::optional<at::Tensor> read_bias(const WeightScope& scope, int64_t out, Bias bias) {
  if (bias == Bias::kNone || (bias == Bias::kIfPresent && !scope.has("bias"))) return std::nullopt;
  return scope.tensor("bias", {out});
}

at::Tensor in_order(const at::Tensor& rows, const at::Tensor& order) {
  return order.defined() ? rows.index_select(0, order.to(rows.device())) : rows;
}

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

// Side by side, zeros where a part has none; none at all where no part has one.
std::optional<at::Tensor> read_biases(const std::vector<Linear::Part>& parts, Bias bias) {
  std::vector<at::Tensor> biases;
  bool any = false;
  for (const Linear::Part& part : parts) {
    const std::optional<at::Tensor> own = read_bias(part.scope, part.out, bias);
    any |= own.has_value();
    biases.push_back(
        own ? in_order(*own, part.order)
            : at::zeros({part.out}, at::dtype(part.scope.dtype()).device(part.scope.device())));
  }
  if (!any) return std::nullopt;
  return joined(biases);
}

// Weights read and multiplications made, for measurements.
void note_work(int64_t weight_bytes, int64_t products) {
  if (StepProfile* profile = ProfileCollection::current()) {
    profile->weight_bytes += weight_bytes;
    profile->flops += 2 * products;
  }
}

kernels::WeightFormat weight_format(kernels::ElementType type, Quantization quantization) {
  switch (quantization) {
    case Quantization::kInt8:
      return kernels::WeightFormat::kInt8;
    case Quantization::kInt4:
      return kernels::WeightFormat::kInt4;
    case Quantization::kAsStored:
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
    : Linear(std::vector<Part>{{scope, out}}, in, bias) {}

Linear::Linear(const std::vector<Part>& parts, int64_t in, Bias bias) : in_(in) {
  for (const Part& part : parts) {
    rows_.push_back({part.scope.name(), out_, part.out, part.order});
    out_ += part.out;
  }
  if (!pack_as_stored(parts)) {
    std::vector<at::Tensor> weights;
    for (const Part& part : parts) {
      weights.push_back(in_order(part.scope.tensor("weight", {part.out, in}), part.order));
    }
    pack(joined(weights), parts.front().scope.quantization());
  }
  set_bias(read_biases(parts, bias));
}

Linear::Linear(const at::Tensor& weight, const std::optional<at::Tensor>& bias,
               Quantization quantization)
    : in_(weight.size(1)), out_(weight.size(0)) {
  pack(weight, quantization);
  set_bias(bias);
}

// Integers of the file as they are, in the widest format among the parts. False where a part has
// none.
bool Linear::pack_as_stored(const std::vector<Part>& parts) {
  kernels::WeightFormat format = kernels::WeightFormat::kInt4;
  for (const Part& part : parts) {
    const std::optional<kernels::WeightFormat> stored = part.scope.stored_format("weight");
    if (!stored || part.order.defined()) return false;
    if (*stored == kernels::WeightFormat::kInt8) format = *stored;
  }
  kernels::QuantizedRows rows{format, out_, in_, {}};
  for (const Part& part : parts) {
    const auto own = part.scope.quantized("weight", {part.out, in_}, format);
    rows.groups.insert(rows.groups.end(), own.groups.begin(), own.groups.end());
  }
  packed_ = kernels::PackedLinear::pack(rows);
  return true;
}

void Linear::pack(const at::Tensor& weight, Quantization quantization) {
  if (!weight.is_cpu() || !has_kernels(weight)) {
    weight_ = weight;
    return;
  }
  const at::Tensor rows = weight.contiguous();
  packed_ = kernels::PackedLinear::pack(rows.const_data_ptr(), element_type(rows), out_, in_,
                                        weight_format(element_type(rows), quantization));
}

void Linear::set_bias(const std::optional<at::Tensor>& bias) {
  bias_ = packed_ && bias ? bias->to(at::kFloat).contiguous() : bias;
}

at::Tensor Linear::operator()(const at::Tensor& x) const {
  if (packed_) return run_packed(x);
  const ProfileScope scope(KernelClass::kLinear);
  note_work(weight_.nbytes(), x.numel() * out_);
  const at::Tensor y = device_kernels::linear_few_rows(x, weight_, bias_.value_or(at::Tensor()));
  return y.defined() ? y : at::linear(x, weight_, bias_);
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

at::Tensor Linear::activated(const at::Tensor& x, Activation activation,
                             const AdapterRuns& runs) const {
  const bool plain = updates_.empty() || runs.empty();
  if (!packed_ || !plain || !has_kernel(activation)) {
    return activate((*this)(x, runs), activation);
  }
  return run_packed(x, {.activation = activation});
}

at::Tensor Linear::added_to(const at::Tensor& residual, const at::Tensor& x) const {
  if (!packed_) return residual + (*this)(x);
  const at::Tensor rows = residual.contiguous();
  return run_packed(x, {.residual = rows.const_data_ptr(), .residual_stride = out_});
}

void Linear::add_update(int adapter, const Row& part, const at::Tensor& down,
                        const at::Tensor& up) {
  auto update = std::make_shared<Update>();
  update->adapter = adapter;
  update->first = part.first;
  update->out = part.out;
  update->down = std::make_unique<Linear>(down, std::nullopt);
  update->up = std::make_unique<Linear>(in_order(up, part.order), std::nullopt);
  updates_.push_back(std::move(update));
}

void Linear::replace_bias(int adapter, const Row& part, const at::Tensor& bias) {
  auto update = std::make_shared<Update>();
  update->adapter = adapter;
  update->first = part.first;
  update->out = part.out;
  const at::Tensor own =
      bias_ ? bias_->narrow(0, part.first, part.out).to(bias.scalar_type()) : at::zeros_like(bias);
  update->bias = in_order(bias, part.order) - own;
  updates_.push_back(std::move(update));
}

void Linear::repeat_bias(int adapter) {
  if (bias_) replace_bias(adapter, {"", 0, out_}, *bias_ * 2);
}

at::Tensor Linear::run_packed(const at::Tensor& x, const kernels::Epilogue& epilogue) const {
  const ProfileScope scope(KernelClass::kLinear);
  note_work(static_cast<int64_t>(packed_->bytes()), x.numel() * out_);
  const at::Tensor rows = x.reshape({-1, in_}).contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out_;
  at::Tensor y = at::empty(shape, x.options());
  packed_->run(rows.const_data_ptr(), element_type(rows), in_, rows.size(0),
               bias_ ? bias_->const_data_ptr<float>() : nullptr, y.data_ptr(), out_,
               element_type(y), epilogue);
  return y;
}

}  // namespace saccade
