#include "engine/weights/weight_map.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "engine/core/status.h"
#include "engine/weights/gguf_blocks.h"

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

// Blocks as float32, rows in the order of the file.
at::Tensor read_blocks(const TensorView& view) {
  using kernels::kQuantGroup;
  at::Tensor out = at::empty(view.shape, at::kFloat);
  auto* values = out.data_ptr<float>();
  const int64_t groups = view.shape.back() / kQuantGroup;
  at::parallel_for(0, view.elements() / view.shape.back(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t group = 0; group < groups; ++group) {
        read_group(view, row, group, values + (row * groups + group) * kQuantGroup);
      }
    }
  });
  return out;
}

// Rows in the order of the model; see TensorView::stored_row.
at::Tensor order_rows(const at::Tensor& source, const TensorView& view) {
  if (view.interleaved_heads == 0) return source;
  const int64_t columns = source.numel() / source.size(0);
  return source.reshape({view.interleaved_heads, -1, 2, columns})
      .transpose(1, 2)
      .reshape(source.sizes());
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
    entries_[canonical_name(view->name, renames)].view = view;
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

at::Tensor WeightMap::convert(Entry& entry) const {
  const TensorView& view = *entry.view;
  if (block_of(view.dtype) > 1) return order_rows(read_blocks(view), view).to(device_, dtype_);
  const at::ScalarType stored = scalar_type(view, checkpoint_->file_of(view));
  const bool aligned = reinterpret_cast<uintptr_t>(view.data) % at::elementSize(stored) == 0;
  at::Tensor source;
  if (aligned) {
    // What the deleter captures keeps the file mapped as long as a tensor points into it.
    std::shared_ptr<const void> keep = entry.pointed_into.lock();
    if (keep == nullptr) {
      keep = std::make_shared<const std::shared_ptr<const Checkpoint>>(checkpoint_);
      entry.pointed_into = keep;
    }
    source = at::from_blob(
        const_cast<std::byte*>(view.data), view.shape, [keep](void*) {}, at::dtype(stored));
  } else {
    source = at::empty(view.shape, at::dtype(stored));
    std::memcpy(source.data_ptr(), view.data, view.bytes);
  }
  return order_rows(source, view).to(device_, dtype_);
}

at::Tensor WeightMap::tensor(const std::string& name) { return convert(entry(name)); }

WeightMap::Entry& WeightMap::checked(const std::string& name, at::IntArrayRef shape) {
  Entry& found = entry(name);
  const TensorView& view = *found.view;
  if (at::IntArrayRef(view.shape) != shape) {
    throw LoadError(checkpoint_->file_of(view) + ": " + view.name + ": shape " +
                    shape_text(view.shape) + ", expected " + shape_text(shape.vec()));
  }
  return found;
}

at::Tensor WeightMap::tensor(const std::string& name, at::IntArrayRef shape) {
  return convert(checked(name, shape));
}

std::optional<kernels::WeightFormat> WeightMap::stored_format(const std::string& name) const {
  const auto found = entries_.find(name);
  const bool kernels_take = device_.is_cpu() && (dtype_ == at::kFloat || dtype_ == at::kBFloat16);
  if (quantization_ != Quantization::kAsStored || !kernels_take || found == entries_.end() ||
      block_of(found->second.view->dtype) == 1) {
    return std::nullopt;
  }
  return packed_format(found->second.view->dtype);
}

kernels::QuantizedRows WeightMap::quantized(const std::string& name, at::IntArrayRef shape,
                                            kernels::WeightFormat format) {
  const TensorView& view = *checked(name, shape).view;
  kernels::QuantizedRows rows{format, shape[0], shape[1], {}};
  const int64_t groups = rows.k / kernels::kQuantGroup;
  rows.groups.resize(static_cast<size_t>(rows.n * groups));
  at::parallel_for(0, rows.n, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t group = 0; group < groups; ++group) {
        rows.groups[static_cast<size_t>(row * groups + group)] =
            read_quantized_group(view, view.stored_row(row), group, format);
      }
    }
  });
  return rows;
}

void WeightMap::leave_files() {
  for (const auto& [name, entry] : entries_) {
    if (entry.pointed_into.expired()) checkpoint_->advise_dontneed(*entry.view);
  }
  // Afterwards, since neighbours share pages.
  for (const auto& [name, entry] : entries_) {
    if (!entry.pointed_into.expired()) checkpoint_->detach(*entry.view);
  }
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
