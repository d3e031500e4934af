#include "engine/models/lora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "engine/core/status.h"
#include "engine/weights/json.h"

namespace saccade {
namespace {

constexpr std::string_view kDown = ".lora_A.weight";

// Whether a field says anything.
bool is_set(const Json* value) {
  if (value == nullptr) return false;
  if (const bool* flag = value->boolean()) return *flag;
  if (const Json::Array* items = value->array()) return !items->empty();
  if (const Json::Object* members = value->object()) return !members->empty();
  return true;
}

// Settings under which the tensors mean something else than what is computed here. fan_in_fan_out
// is none: it is for layers that no decoder here has, and peft drops it on all others.
void refuse_unknown(const JsonView& config) {
  for (const char* field : {"use_dora", "lora_bias", "use_qalora", "use_bdlora",
                            "layer_replication", "alora_invocation_tokens", "target_parameters",
                            "arrow_config", "kasa_config", "velora_config", "monteclora_config"}) {
    if (is_set(config.find(field))) config.fail(field, "is not supported");
  }
  if (is_set(config.find("modules_to_save"))) {
    config.fail("modules_to_save", "whole modules in an adapter are not supported");
  }
  const Json* const start = config.find("init_lora_weights");
  const std::string* const name = start == nullptr ? nullptr : start->string();
  if (name == nullptr) return;
  for (const char* kind : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
    if (name->starts_with(kind)) {
      config.fail("init_lora_weights",
                  printable(*name) +
                      " changes the model's own weights too, which is not supported (peft converts "
                      "such adapters: path_initial_model_for_weight_conversion)");
    }
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
  ranks_ = ModulePattern(config, "rank_pattern");
  alphas_ = ModulePattern(config, "alpha_pattern");
  targets_ = TargetModules(config);
}

void LoraAdapter::fail(const std::string& tensor, const std::string& reason) const {
  throw LoadError(name_ + "/adapter_model.safetensors: " + tensor + ": " + reason);
}

std::string LoraAdapter::module_of(const std::string& tensor) const {
  std::string name = weights_.stored_name(tensor);
  if (name.starts_with(kPeftPrefix)) name.erase(0, kPeftPrefix.size());
  return name.substr(0, name.size() - std::min(name.size(), kDown.size()));
}

double LoraAdapter::scale_of(const std::string& tensor, int64_t rank) const {
  const std::string module = module_of(tensor);
  if (const char* const field = targets_.left_out_by(module)) {
    fail(tensor, "adapter_config.json's " + std::string(field) + " leaves " + module + " out");
  }
  const double expected = ranks_.find(module).value_or(rank_);
  if (static_cast<double>(rank) != expected) {
    fail(tensor, "rank " + std::to_string(rank) + ", adapter_config.json says " +
                     std::to_string(static_cast<int64_t>(expected)));
  }
  const double alpha = alphas_.find(module).value_or(alpha_);
  return alpha / (rank_stabilized_ ? std::sqrt(static_cast<double>(rank)) : rank);
}

void LoraAdapter::apply_to(Linear& linear, int adapter) {
  for (const Linear::Row& part : linear.rows()) {
    const std::string a_name = part.name + std::string(kDown);
    if (weights_.has(a_name)) {
      const at::Tensor a = weights_.tensor(a_name);
      if (a.dim() != 2) fail(a_name, "is no matrix");
      if (!weights_.has(part.name + ".lora_B.weight")) fail(a_name, "has no lora_B beside it");
      const int64_t rank = a.size(0);
      const double scale = scale_of(a_name, rank);
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
