#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/kernels/quantize.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/quantization.h"

namespace saccade {

// Names that start with `from` in the file are known to the model as `to` + rest.
struct Rename {
  std::string from;
  std::string to;
};

class WeightScope;

// The tensors of a checkpoint under the names the model code uses, converted to the run's dtype and
// device when asked for. Remembers which were read, so that the rest can be reported.
class WeightMap {
 public:
  // `renames` are tried in order; the first whose `from` matches is applied, once.
  WeightMap(std::shared_ptr<const Checkpoint> checkpoint, const std::vector<Rename>& renames,
            at::ScalarType dtype, at::Device device,
            Quantization quantization = Quantization::kAsStored);

  WeightScope root();

  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  Quantization quantization() const { return quantization_; }
  bool has(const std::string& name) const { return entries_.contains(name); }
  // What the file calls it; only where it has it.
  const std::string& stored_name(const std::string& name) const {
    return entries_.at(name).view->name;
  }

  // Throws LoadError naming the file's own tensor name when missing or of another shape.
  at::Tensor tensor(const std::string& name, at::IntArrayRef shape);
  // Same, whatever the shape.
  at::Tensor tensor(const std::string& name);

  // The integer format of a linear layer's weight [n, k] that the file holds in blocks: none where
  // it does not, or where the run wants another one or its device takes floats.
  std::optional<kernels::WeightFormat> stored_format(const std::string& name) const;
  // Those numbers, in a format at least as wide. Throws LoadError like tensor().
  kernels::QuantizedRows quantized(const std::string& name, at::IntArrayRef shape,
                                   kernels::WeightFormat format);

  // To be called once the model is built. Weights that were packed elsewhere give their pages back
  // to the system; those that tensors still point into become this process's own: a file that is
  // replaced or cut short while the model serves changes nothing.
  void leave_files();

  // Names in the files that nobody asked for, but for those ending in one of `expected`.
  std::vector<std::string> unused(const std::vector<std::string>& expected) const;

 private:
  struct Entry {
    const TensorView* view;
    bool used = false;
    std::weak_ptr<const void> pointed_into;  // as long as a tensor points into the file
  };
  Entry& entry(const std::string& name);
  Entry& checked(const std::string& name, at::IntArrayRef shape);
  at::Tensor convert(Entry& entry) const;

  std::shared_ptr<const Checkpoint> checkpoint_;  // keeps the mapping alive under plain views
  std::unordered_map<std::string, Entry> entries_;
  at::ScalarType dtype_;
  at::Device device_;
  Quantization quantization_;
};

// A place in the tree of names: `scope("q_proj").tensor("weight", {n, k})`.
class WeightScope {
 public:
  WeightScope(WeightMap* map, std::string prefix,
              Quantization quantization = Quantization::kAsStored)
      : map_(map), prefix_(std::move(prefix)), quantization_(quantization) {}

  WeightScope operator()(std::string_view child) const {
    return WeightScope(map_, prefix_ + std::string(child) + ".", quantization_);
  }
  WeightScope operator()(int index) const { return (*this)(std::to_string(index)); }

  at::Tensor tensor(std::string_view name, at::IntArrayRef shape) const {
    return map_->tensor(prefix_ + std::string(name), shape);
  }
  bool has(std::string_view name) const { return map_->has(prefix_ + std::string(name)); }
  std::optional<kernels::WeightFormat> stored_format(std::string_view name) const {
    return map_->stored_format(prefix_ + std::string(name));
  }
  kernels::QuantizedRows quantized(std::string_view name, at::IntArrayRef shape,
                                   kernels::WeightFormat format) const {
    return map_->quantized(prefix_ + std::string(name), shape, format);
  }
  // "model.layers.0.self_attn.q_proj"; empty at the root.
  std::string name() const { return prefix_.substr(0, prefix_.empty() ? 0 : prefix_.size() - 1); }
  at::ScalarType dtype() const { return map_->dtype(); }
  at::Device device() const { return map_->device(); }

  // The same place, whose linear layers may be stored as the run's Quantization says. Decoders ask
  // for it; vision towers and connectors keep the run's dtype.
  WeightScope quantizable() const { return WeightScope(map_, prefix_, map_->quantization()); }
  // At most to int8: output heads, whose rounding errors nothing evens out.
  WeightScope quantizable_to_int8() const {
    const Quantization wanted = map_->quantization();
    return WeightScope(map_, prefix_, wanted == Quantization::kInt4 ? Quantization::kInt8 : wanted);
  }
  Quantization quantization() const { return quantization_; }

 private:
  WeightMap* map_;
  std::string prefix_;  // ends with '.', or empty at the root
  Quantization quantization_;
};

inline WeightScope WeightMap::root() { return WeightScope(this, ""); }

}  // namespace saccade
