#include <omp.h>

#include "engine/kernels/cpu/attention_decode.h"
#include "engine/kernels/cpu/attention_prefill.h"
#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/task_ranges.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

// Below this many multiplications a parallel region costs more than it brings.
constexpr int64_t kParallelWork = 1 << 15;

struct Plan {
  AttentionTask* tasks;
  int64_t count;
  int64_t partials;
  int64_t work;     // multiplications of the scores
  int64_t decodes;  // tasks of decode
};

// Calls visit(begin, end) for the tasks that each kv head of a sequence has.
// tile_rows: most rows of a prefill tile.
template <class Visit>
void for_each_range(const PagedAttentionArgs& args, const PagedSequence& sequence, int tile_rows,
                    const Visit& visit) {
  if (uses_decode_path(args, sequence)) {
    const int end = sequence.context_length;
    for (int begin = first_visible_key(args, end - 1); begin < end;) {
      const int next = min_of(end, (begin / kSplitKeys + 1) * kSplitKeys);
      visit(begin, next);
      begin = next;
    }
  } else {
    constexpr int kWhole = 16;  // queries, whatever the group: whole vectors of rows
    const int length = sequence.query_length;
    const int most = max_of(1, tile_rows / (args.heads / args.kv_heads));
    const int tiles = (length + most - 1) / most;
    int queries = (length + tiles - 1) / tiles;
    if (queries > kWhole) queries = (queries + kWhole - 1) / kWhole * kWhole;
    // Those that see the most keys first.
    for (int begin = (length - 1) / queries * queries; begin >= 0; begin -= queries) {
      visit(begin, min_of(length, begin + queries));
    }
  }
}

int64_t count_tasks(const PagedAttentionArgs& args, int tile_rows) {
  int64_t count = 0;
  for (int s = 0; s < args.num_sequences; ++s) {
    for_each_range(args, args.sequences[s], tile_rows, [&](int, int) { count += args.kv_heads; });
  }
  return count;
}

// Tasks of one (sequence, kv head) stand behind each other.
Plan make_plan(const PagedAttentionArgs& args) {
  constexpr int kTasksPerThread = 4;  // enough that no thread waits long for the last one
  Plan plan{};
  int tile_rows = kTileRows;
  plan.count = count_tasks(args, tile_rows);
  if (plan.count < kTasksPerThread * omp_get_max_threads()) {
    tile_rows = kFewTileRows;
    plan.count = count_tasks(args, tile_rows);
  }
  for (int s = 0; s < args.num_sequences; ++s) {
    plan.work += static_cast<int64_t>(args.sequences[s].query_length) *
                 args.sequences[s].context_length * args.heads * args.head_dim;
  }
  plan.tasks = static_cast<AttentionTask*>(
      thread_scratch(ScratchSlot::kTasks, sizeof(AttentionTask) * (plan.count + 1)));
  AttentionTask* next = plan.tasks;
  AttentionTask* before = nullptr;  // of decode
  for (int s = 0; s < args.num_sequences; ++s) {
    const bool decode = uses_decode_path(args, args.sequences[s]);
    for (int head = 0; head < args.kv_heads; ++head) {
      AttentionTask* first = next;
      for_each_range(args, args.sequences[s], tile_rows, [&](int begin, int end) {
        *next++ = AttentionTask{s, head, begin, end, -1, nullptr};
      });
      if (decode) {
        plan.decodes += next - first;
        for (AttentionTask* task = first; task < next; before = task++) {
          if (before != nullptr) before->next = task;
        }
      }
      if (decode && next - first > 1) {
        for (AttentionTask* task = first; task < next; ++task) task->partial = plan.partials++;
      }
    }
  }
  return plan;
}

template <typename T, typename K>
void run_task(const PagedAttentionArgs& args, const AttentionTask& task, float* partials) {
  if (uses_decode_path(args, args.sequences[task.sequence])) {
    decode_task<T, K>(args, task, partials);
  } else {
    QueryTile<T, K>(args, task).run();
  }
}

bool same_head(const AttentionTask& a, const AttentionTask& b) {
  return a.sequence == b.sequence && a.kv_head == b.kv_head;
}

// T: of queries and output, K: of the pools.
template <typename T, typename K>
void run_plan(const PagedAttentionArgs& args, const Plan& plan) {
  const bool parallel = plan.work > kParallelWork;
  auto* partials = static_cast<float*>(thread_scratch(
      ScratchSlot::kPartials, sizeof(float) * (plan.partials * partial_floats(args) + 1)));
  // Decode tasks in a row, so that a thread knows what to fetch for the next one; of tiles the one
  // with the most keys that is left, so that no thread waits long for the last one.
  const int owners = parallel && 2 * plan.decodes > plan.count ? omp_get_max_threads() : 1;
  TaskRanges ranges(plan.count, owners);
#pragma omp parallel if (parallel)
  for (int64_t i; (i = ranges.next(omp_get_thread_num() % owners)) >= 0;) {
    run_task<T, K>(args, plan.tasks[i], partials);
  }
  if (plan.partials == 0) return;
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t i = 0; i < plan.count; ++i) {
    const AttentionTask& task = plan.tasks[i];
    if (task.partial < 0 || (i > 0 && same_head(plan.tasks[i - 1], task))) continue;
    int64_t end = i + 1;
    while (end < plan.count && same_head(plan.tasks[end], task)) ++end;
    combine_splits<T>(args, task, partials, static_cast<int>(end - i));
  }
}

}  // namespace

void paged_attention(const PagedAttentionArgs& args) {
  const Plan plan = make_plan(args);
  const bool bytes = args.k_scales != nullptr;
  if (args.type == ElementType::kFloat32) {
    bytes ? run_plan<float, int8_t>(args, plan) : run_plan<float, float>(args, plan);
  } else {
    bytes ? run_plan<Bf16, int8_t>(args, plan) : run_plan<Bf16, Bf16>(args, plan);
  }
}

}  // namespace saccade::kernels::SACCADE_ISA
