#include "engine/weights/gguf_llama.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace saccade {
namespace {

constexpr std::string_view kRopeFactors = "rope_freqs.weight";

struct NamePair {
  std::string_view gguf;
  std::string_view own;
};
constexpr NamePair kNames[] = {
    {"token_embd.", "model.embed_tokens."},
    {"output_norm.", "model.norm."},
    {"output.", "lm_head."},
};
constexpr NamePair kLayerNames[] = {
    {"attn_q.", "self_attn.q_proj."},   {"attn_k.", "self_attn.k_proj."},
    {"attn_v.", "self_attn.v_proj."},   {"attn_output.", "self_attn.o_proj."},
    {"attn_norm.", "input_layernorm."}, {"ffn_norm.", "post_attention_layernorm."},
    {"ffn_gate.", "mlp.gate_proj."},    {"ffn_up.", "mlp.up_proj."},
    {"ffn_down.", "mlp.down_proj."},
};

std::optional<std::string> renamed(std::string_view name, std::span<const NamePair> pairs) {
  for (const NamePair& pair : pairs) {
    if (name.starts_with(pair.gguf)) {
      return std::string(pair.own) + std::string(name.substr(pair.gguf.size()));
    }
  }
  return std::nullopt;
}

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"
std::string own_name(const std::string& name) {
  constexpr std::string_view kLayer = "blk.";
  if (const auto top = renamed(name, kNames)) return *top;
  if (!name.starts_with(kLayer)) return name;
  const size_t dot = name.find('.', kLayer.size());
  if (dot == std::string::npos) return name;
  const auto inside = renamed(std::string_view(name).substr(dot + 1), kLayerNames);
  if (!inside) return name;
  return "model.layers." + name.substr(kLayer.size(), dot + 1 - kLayer.size()) + *inside;
}

const TensorView* find_tensor(const GgufFile& file, std::string_view name) {
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

class ConfigWriter {
 public:
  explicit ConfigWriter(const GgufFile& file) : file_(file), metadata_(file.metadata()) {
    const std::string architecture = metadata_.string("general.architecture");
    if (architecture != "llama") {
      metadata_.fail("general.architecture",
                     printable(architecture) + " is not supported (known: \"llama\")");
    }
    if (metadata_.integer_or("llama.expert_count", 0) != 0) {
      metadata_.fail("llama.expert_count", "mixtures of experts are not supported");
    }
  }

  Json write() {
    add("model_type", Json(std::string("llama")));
    copy("llama.embedding_length", "hidden_size");
    copy("llama.feed_forward_length", "intermediate_size");
    copy("llama.block_count", "num_hidden_layers");
    copy("llama.context_length", "max_position_embeddings");
    add_heads();
    add_number("rms_norm_eps", metadata_.number("llama.attention.layer_norm_rms_epsilon"));
    add_number("rope_theta", metadata_.number("llama.rope.freq_base", 10000));
    add_rope_scaling();
    const TensorView* table = find_tensor(file_, "token_embd.weight");
    if (table == nullptr) throw LoadError(file_.name() + ": tensor token_embd.weight is missing");
    add_integer("vocab_size", table->shape.front());
    add("tie_word_embeddings", Json(find_tensor(file_, "output.weight") == nullptr));
    add("attention_bias", Json(find_tensor(file_, "blk.0.attn_q.bias") != nullptr));
    add("mlp_bias", Json(find_tensor(file_, "blk.0.ffn_up.bias") != nullptr));
    add_end_ids();
    return Json(std::move(members_));
  }

 private:
  void add(const char* key, Json value) { members_.push_back({key, std::move(value)}); }
  void add_integer(const char* key, int64_t value) { add(key, Json(value)); }
  void add_number(const char* key, double value) { add(key, Json(value)); }
  void copy(const char* from, const char* to) { add_integer(to, metadata_.positive_int(from)); }

  void add_heads() {
    const int heads = metadata_.positive_int("llama.attention.head_count");
    add_integer("num_attention_heads", heads);
    add_integer("num_key_value_heads",
                metadata_.positive_int("llama.attention.head_count_kv", heads));
    const int head_dim = metadata_.positive_int(
        "llama.attention.key_length",
        std::max(1, metadata_.positive_int("llama.embedding_length") / heads));
    if (metadata_.positive_int("llama.attention.value_length", head_dim) != head_dim) {
      metadata_.fail("llama.attention.value_length", "differs from the keys' length");
    }
    if (metadata_.positive_int("llama.rope.dimension_count", head_dim) != head_dim) {
      metadata_.fail("llama.rope.dimension_count", "rotates a part of each head only");
    }
    add_integer("head_dim", head_dim);
  }

  // Factors by which frequencies are divided: what is left of Llama 3's scaling in such a file.
  // The same formula as LongRoPE's with one length.
  void add_rope_factors(const TensorView& tensor) {
    if (tensor.dtype != TensorDtype::kF32) {
      throw LoadError(file_.name() + ": " + tensor.name + ": expected F32");
    }
    Json::Array factors;
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      float factor;
      std::memcpy(&factor, tensor.data + i * static_cast<int64_t>(sizeof factor), sizeof factor);
      factors.push_back(Json(static_cast<double>(factor)));
    }
    Json::Object scaling;
    scaling.push_back({"rope_type", Json(std::string("longrope"))});
    scaling.push_back({"short_factor", Json(factors)});
    scaling.push_back({"long_factor", Json(std::move(factors))});
    scaling.push_back({"attention_factor", Json(1.0)});
    add("rope_scaling", Json(std::move(scaling)));
  }

  void add_rope_scaling() {
    if (const TensorView* factors = find_tensor(file_, kRopeFactors)) {
      return add_rope_factors(*factors);
    }
    const std::string type = metadata_.string("llama.rope.scaling.type", "none");
    if (type == "none") return;
    if (type != "linear" && type != "yarn") {
      metadata_.fail("llama.rope.scaling.type", printable(type) + " is not supported");
    }
    Json::Object scaling;
    scaling.push_back({"rope_type", Json(type)});
    scaling.push_back({"factor", Json(metadata_.number("llama.rope.scaling.factor"))});
    if (type == "yarn") {
      scaling.push_back(
          {"original_max_position_embeddings",
           Json(int64_t{metadata_.positive_int("llama.rope.scaling.original_context_length")})});
    }
    add("rope_scaling", Json(std::move(scaling)));
  }

  void add_end_ids() {
    Json::Array ids;
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                            "tokenizer.ggml.eom_token_id"}) {
      if (metadata_.has(key)) ids.push_back(Json(int64_t{metadata_.integer(key, 0)}));
    }
    if (!ids.empty()) add("eos_token_id", Json(std::move(ids)));
  }

  const GgufFile& file_;
  JsonView metadata_;
  Json::Object members_;
};

}  // namespace

Json gguf_config(const GgufFile& file) { return ConfigWriter(file).write(); }

std::vector<TensorView> gguf_tensors(const GgufFile& file) {
  const JsonView metadata = file.metadata();
  const int heads = metadata.positive_int("llama.attention.head_count");
  const int kv_heads = metadata.positive_int("llama.attention.head_count_kv", heads);
  std::vector<TensorView> tensors;
  for (TensorView tensor : file.tensors()) {
    if (tensor.name == kRopeFactors) continue;
    tensor.name = own_name(tensor.name);
    // Such files hold q and k for rotations of neighbours.
    const bool queries = tensor.name.find(".self_attn.q_proj.") != std::string::npos;
    const bool keys = tensor.name.find(".self_attn.k_proj.") != std::string::npos;
    if (queries || keys) tensor.interleaved_heads = queries ? heads : kv_heads;
    if (tensor.interleaved_heads > 0 &&
        tensor.shape.front() % (2 * tensor.interleaved_heads) != 0) {
      throw LoadError(file.name() + ": " + tensor.name + ": " +
                      std::to_string(tensor.shape.front()) + " rows for " +
                      std::to_string(tensor.interleaved_heads) + " heads");
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace saccade
