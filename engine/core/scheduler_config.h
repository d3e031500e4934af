#pragma once

#include <vector>

#include "engine/core/key_rules.h"
#include "engine/core/types.h"

namespace saccade {

// Sizes and limits the scheduler works within. Set once, from the model, the device's memory and
// the command line.
struct SchedulerConfig {
  int num_blocks = 0;              // physical KV blocks
  int block_size = 0;              // positions per block
  int max_num_seqs = 0;            // sequences running at a time
  int max_num_batched_tokens = 0;  // positions computed per step
  int max_model_len = 0;           // positions per sequence, prompt and answer
  int max_encode_per_step = 0;     // media items encoded per step
  int encoder_cache_tokens = 0;    // visual tokens the encoder cache holds
  int tower_rows = 0;              // ModelInfo's; 0: tower outputs are not kept
  int tower_cache_tokens = 0;      // rows of tower outputs that are kept
  std::vector<TokenId> eos_ids;    // the model's own end ids
  bool prefix_caching = true;
  // An answer that makes its sequence longer than this has all of it computed anew, once: the keys
  // of longer sequences are others. 0: never. Only without prefix caching.
  int recompute_beyond = 0;
  KeyRules keys = {};  // what blocks are named by
  int vocab_size = 0;  // ids are in [0, vocab_size)
};

}  // namespace saccade
