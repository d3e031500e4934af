#include "engine/runtime/decode_graphs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/layers/kernel_type.h"
#include "engine/layers/step_profile.h"

#ifdef SACCADE_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace saccade {
namespace {

constexpr int64_t kSmallestContext = 256;

}  // namespace

DecodeGraphs::Size DecodeGraphs::size_of(const AttentionInput& input) {
  const auto rows = static_cast<int64_t>(input.sequences.size());
  Size size{1, kSmallestContext};
  while (size.rows < rows) size.rows = size.rows < 8 ? 2 * size.rows : (size.rows / 16 + 1) * 16;
  for (const kernels::PagedSequence& sequence : input.sequences) {
    while (size.context < sequence.context_length) size.context *= 2;
  }
  return size;
}

#ifdef SACCADE_CUDA

namespace {

// Beyond it the longest unused one goes: a graph takes a few megabytes.
constexpr size_t kMostGraphs = 64;

// The step filled up to `size` rows. A row that fills up stands behind nothing, writes no key and
// looks at one of block 0.
AttentionInput filled_up(const AttentionInput& input, const DecodeGraphs::Size& size) {
  static constexpr int32_t kBlock = 0;
  AttentionInput full;
  full.block_size = input.block_size;
  full.sequences = input.sequences;
  full.slots = input.slots;
  full.positions = input.positions;
  for (auto row = static_cast<int32_t>(full.slots.size()); row < size.rows; ++row) {
    full.sequences.push_back({row, 1, 1, &kBlock});
    full.slots.push_back(-1);
    full.positions.push_back({{0, 0, 0}, 0, 1, 1});
  }
  return full;
}

}  // namespace

struct DecodeGraphs::Graph {
  Graph(const Size& size_of_steps, int block_size, at::Device device)
      : size(size_of_steps),
        buffer(size.rows, size.rows, size.rows * ((size.context + block_size - 1) / block_size),
               device) {}

  Size size;
  LayoutBuffer buffer;
  at::Tensor logits;  // [size.rows, V], in the graphs' memory
  StepProfile work;   // what the layers have noted
  at::cuda::CUDAGraph graph;
};

DecodeGraphs::DecodeGraphs(VisionLanguageModel& model, KVCache& cache, int max_rows)
    : model_(model), cache_(cache), max_rows_(max_rows) {
  possible_ = !cache.empty() && cache.front().keys.is_cuda() && has_kernels(cache.front().keys) &&
              model.reads_layout_only();
}

DecodeGraphs::~DecodeGraphs() = default;

at::Tensor DecodeGraphs::run(const std::vector<int32_t>& ids, const AttentionInput& input) {
  if (!possible_ || ids.empty()) return {};
  const auto rows = static_cast<int64_t>(ids.size());
  const Size size = size_of(input);
  if (size.rows > max_rows_) return {};
  std::vector<int32_t> full_ids = ids;
  full_ids.resize(static_cast<size_t>(size.rows));
  const AttentionInput full = filled_up(input, size);
  Graph* graph = find(size);
  if (graph == nullptr) {
    graph = record(size, full_ids, full);
    if (graph == nullptr) return {};
  } else {
    graph->buffer.fill(full_ids, full);
  }
  graph->graph.replay();
  if (StepProfile* profile = ProfileCollection::current()) {
    profile->weight_bytes += graph->work.weight_bytes;
    profile->flops += graph->work.flops;
  }
  return graph->logits.narrow(0, 0, rows);
}

// Moves it to the front.
DecodeGraphs::Graph* DecodeGraphs::find(const Size& size) {
  const auto found = std::find_if(graphs_.begin(), graphs_.end(),
                                  [&](const auto& graph) { return graph->size == size; });
  if (found == graphs_.end()) return nullptr;
  graphs_.splice(graphs_.begin(), graphs_, found);
  return graphs_.front().get();
}

// Null from the first failure on: every step is then launched kernel by kernel.
DecodeGraphs::Graph* DecodeGraphs::record(const Size& size, const std::vector<int32_t>& ids,
                                          const AttentionInput& input) {
  try {
    graphs_.push_front(recorded_step(size, ids, input));
    if (graphs_.size() > kMostGraphs) graphs_.pop_back();
    ++recorded_;
    return graphs_.front().get();
  } catch (const std::exception&) {
    possible_ = false;
    return nullptr;
  }
}

// Runs the step once launch by launch, so that what is made at a first use (libraries' workspaces,
// tables, the kernels' code) is there, and once more to record it. A second run overwrites the keys
// of the first with the same.
std::unique_ptr<DecodeGraphs::Graph> DecodeGraphs::recorded_step(const Size& size,
                                                                 const std::vector<int32_t>& ids,
                                                                 const AttentionInput& input) {
  // One pool for all graphs that there are: a graph's results are read before another one runs. A
  // pool whose last graph is gone is none.
  const auto pool = graphs_.empty() ? at::cuda::graph_pool_handle() : graphs_.front()->graph.pool();
  static const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool();
  auto graph = std::make_unique<Graph>(size, input.block_size, side.device());
  graph->buffer.fill(ids, input);
  // What the layers read of the host: the number of sequences, and how long one may be.
  AttentionInput shape;
  shape.block_size = input.block_size;
  for (int32_t row = 0; row < size.rows; ++row) {
    shape.sequences.push_back({row, 1, static_cast<int32_t>(size.context), nullptr});
  }
  shape.device = graph->buffer.layout();

  const ProfileCollection collection(graph->work);
  const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream();
  before.synchronize();
  {
    const c10::cuda::CUDAStreamGuard guard(side);
    logits(shape);
    graph->work = {};
    side.synchronize();
    graph->graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      graph->logits = logits(shape);
    } catch (...) {
      graph->graph.capture_end();  // or memory is never reused again
      throw;
    }
    graph->graph.capture_end();
  }
  return graph;
}

at::Tensor DecodeGraphs::logits(const AttentionInput& input) {
  const at::Tensor h = model_.forward(model_.embed(input.device.ids), input, cache_);
  return model_.logits(h);
}

#else

struct DecodeGraphs::Graph {};

DecodeGraphs::DecodeGraphs(VisionLanguageModel& model, KVCache& cache, int max_rows)
    : model_(model), cache_(cache), max_rows_(max_rows), possible_(false) {}

DecodeGraphs::~DecodeGraphs() = default;

at::Tensor DecodeGraphs::run(const std::vector<int32_t>&, const AttentionInput&) { return {}; }

#endif

}  // namespace saccade
