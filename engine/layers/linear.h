#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/kernels/packed_linear.h"
#include "engine/layers/activation.h"
#include "engine/weights/weight_map.h"

namespace saccade {

// Rows [first, first + count) of a step's tokens belong to requests that use adapter `adapter`;
// rows in no run use the model as it is.
struct AdapterRun {
  int adapter;
  int64_t first;
  int64_t count;
};
using AdapterRuns = std::vector<AdapterRun>;

enum class Bias { kNone, kRequired, kIfPresent };

// y = x W^T + b. Owns its weight in the layout the device's kernel reads: packed panels on a CPU
// (of integers where the scope is quantizable and the run asks for it, or where the file has them),
// plain on a GPU. No caller knows which.
class Linear {
 public:
  // Reads `weight` [out, in] and `bias` [out] of `scope`.
  Linear(const WeightScope& scope, int64_t in, int64_t out, Bias bias);

  // Several projections of the same input as one: rows [sum of outs].
  struct Part {
    WeightScope scope;
    int64_t out;
    at::Tensor order = {};  // [out] output i is row order[i] of the file; undefined: row i
  };
  Linear(const std::vector<Part>& parts, int64_t in, Bias bias);

  // From tensors at hand: weight [out, in], bias [out] or none.
  Linear(const at::Tensor& weight, const std::optional<at::Tensor>& bias,
         Quantization quantization = Quantization::kAsStored);

  // x [..., in] -> [..., out]
  at::Tensor operator()(const at::Tensor& x) const;
  // x [T, in] -> [T, out], with the updates of the adapters that rows belong to.
  at::Tensor operator()(const at::Tensor& x, const AdapterRuns& runs) const;

  // The same with what follows it done on the way, where there is a kernel for that:
  // activation(x W^T + b)
  at::Tensor activated(const at::Tensor& x, Activation activation,
                       const AdapterRuns& runs = {}) const;
  // residual + (x W^T + b), both [..., out]
  at::Tensor added_to(const at::Tensor& residual, const at::Tensor& x) const;

  // Outputs [first, first + out) stem from the weights called `name`, in the order of Part.
  struct Row {
    std::string name;
    int64_t first;
    int64_t out;
    at::Tensor order = {};
  };
  const std::vector<Row>& rows() const { return rows_; }
  // y += (x down^T) up^T for the rows of that adapter: down [r, in], up [part.out, r], which like a
  // bias has the file's order of rows.
  void add_update(int adapter, const Row& part, const at::Tensor& down, const at::Tensor& up);
  // That adapter's bias [part.out] in the place of the model's own.
  void replace_bias(int adapter, const Row& part, const at::Tensor& bias);
  // That adapter's rows get the bias twice, where there is one.
  void repeat_bias(int adapter);

  int64_t in_features() const { return in_; }
  int64_t out_features() const { return out_; }

 private:
  struct Update;  // of one adapter and one part
  bool pack_as_stored(const std::vector<Part>& parts);
  void pack(const at::Tensor& weight, Quantization quantization);
  void set_bias(const std::optional<at::Tensor>& bias);
  at::Tensor run_packed(const at::Tensor& x, const kernels::Epilogue& epilogue = {}) const;

  std::optional<kernels::PackedLinear> packed_;
  std::optional<at::Tensor> bias_;  // float32 beside packed_, else of the run's dtype
  at::Tensor weight_;               // where packed_ is empty
  int64_t in_ = 0;
  int64_t out_ = 0;
  std::vector<Row> rows_;  // none where the weight was given as a tensor
  std::vector<std::shared_ptr<const Update>> updates_;
};

}  // namespace saccade
