#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "engine/models/vlm.h"

namespace saccade {

// Decode steps that a GPU repeats by itself (CUDA graphs): of a step whose kernels are recorded
// once the host launches all with one call. What differs from step to step lies in a buffer at a
// fixed place, and a step is filled up to the next recorded number of rows with rows that write
// nothing. Recorded where first wanted. Elsewhere than on a GPU, and for a model that reads more of
// a step than its layout, nothing is recorded.
//
// A graph's kernels are those of the step launched one by one: the results are equal, bit for bit,
// where no rows were filled up.
class DecodeGraphs {
 public:
  // `model` and `cache` outlive it. No graph holds more than `max_rows` rows.
  DecodeGraphs(VisionLanguageModel& model, KVCache& cache, int max_rows);
  ~DecodeGraphs();

  // Logits [rows, V] of a step of one token for each of its sequences, which look at no memories
  // and use no adapters; valid until the next call. Undefined: no graph takes the step.
  at::Tensor run(const std::vector<int32_t>& ids, const AttentionInput& input);

  int64_t recorded() const { return recorded_; }  // so far

  // What a step is filled up to: `rows` rows (1, 2, 4, 8, then multiples of 16), and keys of the
  // longest sequence (a power of two of the decode kernel's pieces).
  struct Size {
    int64_t rows;
    int64_t context;
    bool operator==(const Size&) const = default;
  };
  static Size size_of(const AttentionInput& input);

 private:
  struct Graph;
  Graph* find(const Size& size);
  Graph* record(const Size& size, const std::vector<int32_t>& ids, const AttentionInput& input);
  std::unique_ptr<Graph> recorded_step(const Size& size, const std::vector<int32_t>& ids,
                                       const AttentionInput& input);
  at::Tensor logits(const AttentionInput& input);

  VisionLanguageModel& model_;
  KVCache& cache_;
  int max_rows_;
  bool possible_;
  int64_t recorded_ = 0;
  std::list<std::unique_ptr<Graph>> graphs_;  // the latest used first
};

}  // namespace saccade
