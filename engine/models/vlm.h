#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/core/media.h"
#include "engine/layers/attention.h"

namespace saccade {

class Adapter;

// What the KV pool must hold for each token.
struct CacheShape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  bool exact = false;  // the model reads the pools itself: they must hold its own type
};

// One [LayerCache] for each decoder layer.
using KVCache = std::vector<LayerCache>;

// A model as the executor sees it: one class per family, composed of parts. Runs on the engine
// thread only. T tokens of a ragged batch, H the decoder's width, V the rows of its head.
class VisionLanguageModel {
 public:
  virtual ~VisionLanguageModel() = default;

  virtual CacheShape cache_shape() const = 0;
  // False where a block's keys depend on more than the tokens before it (dynamic rope).
  virtual bool prefix_cacheable() const = 0;

  // Whether all that embed(), forward() and logits() read of a step without media and adapters lies
  // in AttentionInput::device, and their work is the same for every step of as many tokens: it can
  // then be repeated without them (decode_graphs.h).
  virtual bool reads_layout_only() const { return false; }

  // Visual tokens of each input, [len, H]. Throws std::invalid_argument for pixels of a wrong size.
  virtual std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) = 0;
  // The two halves of encode() where ModelInfo::tower_rows says that the first is kept: what of
  // each picture does not depend on the instruction, [parts, patches, width], and the rest.
  virtual std::vector<at::Tensor> tower(const std::vector<const EncoderInput*>& inputs);
  virtual std::vector<at::Tensor> connect(const std::vector<const EncoderInput*>& inputs,
                                          const std::vector<at::Tensor>& towers);
  virtual at::Tensor embed(const at::Tensor& ids) = 0;  // [T] -> [T, H]
  // [T, H] -> [T, H]
  virtual at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) = 0;
  virtual at::Tensor logits(const at::Tensor& h) = 0;  // [n, H] -> [n, V]
  // From now on rows of that number (from 1 on) run with the adapter. At load only.
  virtual void add_adapter(int number, Adapter& adapter) = 0;
};

}  // namespace saccade
