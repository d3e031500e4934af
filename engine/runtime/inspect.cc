#include <ATen/ATen.h>

#include <sstream>

#include "engine/models/registry.h"
#include "engine/runtime/load_model.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/weight_map.h"

namespace saccade {
namespace {

void list_names(std::ostringstream& out, const std::string& title,
                const std::vector<std::string>& names) {
  out << title << ": " << (names.empty() ? "none" : std::to_string(names.size())) << "\n";
  for (const std::string& name : names) out << "  " << name << "\n";
}

// Builds the model so that each name and shape is really asked for; the first missing or misshapen
// tensor is the answer then.
std::string check_weights(const ModelFolder& folder, const ModelFamily& family) {
  std::ostringstream out;
  const auto checkpoint = std::make_shared<const Checkpoint>(folder.path());
  out << "weights: " << checkpoint->tensors().size() << " tensors, "
      << checkpoint->total_bytes() / 1000000 << " MB\n";
  WeightMap weights(checkpoint, family.renames, at::kBFloat16, at::kCPU);
  try {
    family.build(folder, weights.root());
    out << "missing tensors: none\n";
  } catch (const LoadError& error) {
    out << "missing or misshapen: " << error.what() << "\n";
  }
  list_names(out, "unused tensors", weights.unused(family.unread));
  return out.str();
}

}  // namespace

std::string inspect_model(const std::filesystem::path& path) {
  const c10::InferenceMode guard;
  const ModelFolder folder(path);
  const ModelFamily& family = find_family(folder);
  const ModelInfo info = family.describe(folder);
  std::ostringstream out;
  out << "family: " << info.family << "\n";
  for (const std::string& line : family.summary(folder)) out << line << "\n";
  if (info.image_token >= 0) out << "placeholder id: " << info.image_token << "\n";
  out << "end ids:";
  for (const TokenId id : info.eos_ids) out << " " << id;
  out << "\n" << check_weights(folder, family);
  return out.str();
}

}  // namespace saccade
