#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/weights/json.h"

namespace saccade {

struct QueryDecoderConfig {
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_queries = 0;

  static QueryDecoderConfig parse(const JsonView& config, int hidden_size);
};

// DETR's decoder with norms in front (Carion et al. 2020) as MedVInT has it
// (xiaoman-zhang/PMC-VQA, MedVInT_TD/models/transformer.py): learned queries look at each other,
// then at a picture; nobody knows positions.
class QueryDecoder {
 public:
  QueryDecoder(const QueryDecoderConfig& config, const WeightScope& scope);

  // picture [n, patches, hidden] -> [n, queries, hidden]
  at::Tensor operator()(const at::Tensor& picture) const;

 private:
  struct Layer {
    Layer(const QueryDecoderConfig& config, const WeightScope& scope);

    LayerNorm self_norm;
    Linear qkv;  // rows q | k | v
    Linear self_output;
    LayerNorm cross_norm;
    Linear query;
    Linear key_value;  // rows k | v
    Linear cross_output;
    LayerNorm mlp_norm;
    Linear up;
    Linear down;
  };

  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;

  QueryDecoderConfig config_;
  at::Tensor queries_;  // [queries, hidden]
  std::vector<Layer> layers_;
  LayerNorm norm_;
};

}  // namespace saccade
