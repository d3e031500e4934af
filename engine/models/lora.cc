#include "engine/models/lora.h"

#include <ATen/ATen.h>

#include <cmath>

#include "engine/core/status.h"
#include "engine/weights/json.h"

namespace saccade {
namespace {

// rank_pattern and alpha_pattern: numbers by module name. PEFT takes the keys as regular
// expressions; names, whole or from a dot on, are what is in use.
std::vector<std::pair<std::string, double>> read_pattern(const JsonView& config, const char* key) {
  std::vector<std::pair<std::string, double>> pattern;
  const std::optional<JsonView> rows = config.object(key);
  if (!rows) return pattern;
  for (const JsonMember& row : rows->members()) {
    if (row.key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_.") != std::string::npos) {
      rows->fail(row.key, "regular expressions are not supported here");
    }
    pattern.emplace_back(row.key, rows->number_in(row.key, 0, 1e-9, 1e9));
  }
  return pattern;
}

std::optional<double> find_pattern(const std::vector<std::pair<std::string, double>>& pattern,
                                   const std::string& module) {
  for (const auto& [name, value] : pattern) {
    if (module == name || module.ends_with("." + name)) return value;
  }
  return std::nullopt;
}

// Settings under which the tensors mean something else than what is computed here.
void refuse_unknown(const JsonView& config) {
  for (const char* flag : {"use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"}) {
    if (config.boolean(flag, false)) config.fail(flag, "is not supported");
  }
  const Json* saved = config.find("modules_to_save");
  if (saved != nullptr && (saved->array() == nullptr || !saved->array()->empty())) {
    config.fail("modules_to_save", "whole modules in an adapter are not supported");
  }
}

}  // namespace

LoraAdapter::LoraAdapter(const JsonView& config, const std::filesystem::path& folder,
                         const std::vector<Rename>& renames, at::ScalarType dtype,
                         at::Device device)
    : name_(folder.string()),
      weights_(std::make_shared<const Checkpoint>(folder, "adapter_model"),
               adapter_renames(renames), dtype, device) {
  refuse_unknown(config);
  rank_ = config.positive_int("r");
  alpha_ = config.number_in("lora_alpha", 8, -1e9, 1e9);
  rank_stabilized_ = config.boolean("use_rslora", false);
  const std::string bias = config.string("bias", "none");
  if (bias != "none" && bias != "all" && bias != "lora_only") {
    config.fail("bias", "expected \"none\", \"all\" or \"lora_only\", got " + printable(bias));
  }
  with_biases_ = bias != "none";
  ranks_ = read_pattern(config, "rank_pattern");
  alphas_ = read_pattern(config, "alpha_pattern");
}

void LoraAdapter::fail(const std::string& tensor, const std::string& reason) const {
  throw LoadError(name_ + "/adapter_model.safetensors: " + tensor + ": " + reason);
}

double LoraAdapter::scale_of(const std::string& module, int64_t rank) const {
  const double expected = find_pattern(ranks_, module).value_or(rank_);
  if (static_cast<double>(rank) != expected) {
    fail(module + ".lora_A.weight", "rank " + std::to_string(rank) + ", adapter_config.json says " +
                                        std::to_string(static_cast<int64_t>(expected)));
  }
  const double alpha = find_pattern(alphas_, module).value_or(alpha_);
  return alpha / (rank_stabilized_ ? std::sqrt(static_cast<double>(rank)) : rank);
}

void LoraAdapter::apply_to(Linear& linear, int adapter) {
  for (const Linear::Row& part : linear.rows()) {
    const std::string a_name = part.name + ".lora_A.weight";
    if (weights_.has(a_name)) {
      const at::Tensor a = weights_.tensor(a_name);
      if (a.dim() != 2) fail(a_name, "is no matrix");
      if (!weights_.has(part.name + ".lora_B.weight")) fail(a_name, "has no lora_B beside it");
      const int64_t rank = a.size(0);
      const double scale = scale_of(part.name, rank);
      const at::Tensor down = weights_.tensor(a_name, {rank, linear.in_features()});
      const at::Tensor up = weights_.tensor(part.name + ".lora_B.weight", {part.out, rank});
      linear.add_update(adapter, part, down, up * scale);
    }
    if (!with_biases_) continue;
    for (const char* suffix : {".bias", ".base_layer.bias"}) {
      if (!weights_.has(part.name + suffix)) continue;
      linear.replace_bias(adapter, part, weights_.tensor(part.name + suffix, {part.out}));
    }
  }
}

void LoraAdapter::check_all_applied() {
  const std::vector<std::string> rest = weights_.unused({});
  if (rest.empty()) return weights_.leave_files();
  fail(rest.front(), "the model has no such projection, or adapters of it are not supported");
}

}  // namespace saccade
