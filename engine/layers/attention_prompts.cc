#include "engine/layers/attention_prompts.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {

void AttentionPrompts::add(int adapter, const at::Tensor& keys, const at::Tensor& values,
                           const at::Tensor& gate, int heads) {
  const int64_t group = heads / keys.size(0);
  prompts_.push_back({adapter, keys.repeat_interleave(group, 0).unsqueeze(0),
                      values.repeat_interleave(group, 0).unsqueeze(0), gate});
}

void AttentionPrompts::add_to(at::Tensor& mixed, const at::Tensor& queries,
                              const AdapterRuns& runs) const {
  for (const AdapterRun& run : runs) {
    for (const Prompt& prompt : prompts_) {
      if (prompt.adapter != run.adapter) continue;
      const at::Tensor own = queries.narrow(0, run.first, run.count).transpose(0, 1).unsqueeze(0);
      const at::Tensor seen = full_attention(own, prompt.keys, prompt.values)[0];
      mixed.narrow(0, run.first, run.count).add_(seen * prompt.gate);
    }
  }
}

}  // namespace saccade
