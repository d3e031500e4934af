#include "engine/weights/weight_map.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "engine/core/status.h"

namespace saccade {
namespace {

std::string canonical_name(const std::string& name, const std::vector<Rename>& renames) {
  for (const Rename& rule : renames) {
    if (name.starts_with(rule.from)) return rule.to + name.substr(rule.from.size());
  }
  return name;
}

at::ScalarType scalar_type(const TensorView& view, const std::string& file) {
  switch (view.dtype) {
    case TensorDtype::kF32:
      return at::kFloat;
    case TensorDtype::kF16:
      return at::kHalf;
    case TensorDtype::kBF16:
      return at::kBFloat16;
    case TensorDtype::kF64:
      return at::kDouble;
    default:
      throw LoadError(file + ": " + view.name + ": dtype " + std::string(name_of(view.dtype)) +
                      " is not supported");
  }
}

}  // namespace

WeightMap::WeightMap(std::shared_ptr<const Checkpoint> checkpoint,
                     const std::vector<Rename>& renames, at::ScalarType dtype, at::Device device,
                     Quantization quantization)
    : checkpoint_(std::move(checkpoint)),
      dtype_(dtype),
      device_(device),
      quantization_(quantization) {
  for (const TensorView* view : checkpoint_->tensors()) {
    entries_[canonical_name(view->name, renames)] = Entry{view};
  }
}

WeightMap::Entry& WeightMap::entry(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw LoadError("model.safetensors: tensor " + name + " is missing");
  }
  found->second.used = true;
  return found->second;
}

at::Tensor WeightMap::convert(const TensorView& view) const {
  const at::ScalarType stored = scalar_type(view, checkpoint_->file_of(view));
  const bool aligned = reinterpret_cast<uintptr_t>(view.data) % at::elementSize(stored) == 0;
  at::Tensor source;
  if (aligned) {
    // The deleter's capture keeps the file mapped as long as a tensor points into it.
    source = at::from_blob(
        const_cast<std::byte*>(view.data), view.shape, [keep = checkpoint_](void*) {},
        at::dtype(stored));
  } else {
    source = at::empty(view.shape, at::dtype(stored));
    std::memcpy(source.data_ptr(), view.data, view.bytes);
  }
  return source.to(device_, dtype_);
}

at::Tensor WeightMap::tensor(const std::string& name) { return convert(*entry(name).view); }

at::Tensor WeightMap::tensor(const std::string& name, at::IntArrayRef shape) {
  const TensorView& view = *entry(name).view;
  if (at::IntArrayRef(view.shape) != shape) {
    throw LoadError(checkpoint_->file_of(view) + ": " + view.name + ": shape " +
                    shape_text(view.shape) + ", expected " + shape_text(shape.vec()));
  }
  return convert(view);
}

std::vector<std::string> WeightMap::unused(const std::vector<std::string>& expected) const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    const bool known = std::any_of(expected.begin(), expected.end(), [&](const std::string& part) {
      return name.find(part) != std::string::npos;
    });
    if (!entry.used && !known) names.push_back(entry.view->name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace saccade
