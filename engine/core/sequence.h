#pragma once

#include <span>
#include <vector>

#include "engine/core/key_rules.h"
#include "engine/core/prompt_lookup.h"
#include "engine/core/request.h"
#include "engine/core/request_queue.h"
#include "engine/core/token_stream.h"
#include "engine/core/types.h"

namespace saccade {

// A request on its way through the engine. Belongs to the scheduler; touched by the engine thread
// alone. Everything it holds (ticket, blocks, encoder outputs) is given back by the scheduler.
struct Sequence {
  explicit Sequence(QueuedRequest queued);

  int length() const { return static_cast<int>(tokens.size()) - drafts; }  // known tokens
  int generated() const { return length() - prompt_length; }
  int remaining() const { return length() - computed; }  // known tokens not in the KV cache yet
  // All is computed but the last answer token; that one is never visual.
  bool decoding() const { return remaining() == 1 && generated() > 0; }
  bool wants_answer() const { return request.sampling.max_tokens > 0; }
  // Positions [0, cacheable()) may come from the prefix cache: nothing is asked of their hidden
  // states.
  int cacheable() const {
    if (request.pooling == Pooling::kMean) return 0;
    return next_score < prompt_length ? next_score - 1 : length() - 1;
  }
  bool closed() const { return request.stream->closed(); }

  // Spans that reach beyond position `from`, in order.
  std::span<const MediaSpan> spans_after(int from) const;

  // Extends `hashes` to the first `blocks` blocks, all of which must be full of known tokens.
  void hash_blocks(int blocks, int block_size, const KeyRules& rules = {});

  Request request;  // its prompt has moved to `tokens`
  AdmissionTicket ticket;
  // Prompt and answer so far, then `drafts` guesses within a step; reserved to its final length.
  std::vector<TokenId> tokens;
  int drafts = 0;
  int prompt_length = 0;
  std::vector<int> media_rows;  // [media] visual tokens the spans refer to

  int computed = 0;                 // positions [0, computed) are in the KV cache
  std::vector<int> blocks;          // block table; one reference on each
  int published = 0;                // leading blocks offered to the prefix cache
  std::vector<ContentHash> hashes;  // of leading full blocks
  std::vector<int> held;            // media whose encoder output this sequence holds a reference on

  // The next prompt position whose log-probability is to be published; prompt_length: no more.
  int next_score = 0;
  std::vector<double> pooled;  // [hidden] sum over [0, computed); of the last row for kLast

  DraftLength draft_length;  // how many guesses pay off

  bool outgrown = false;  // its keys are those of shorter sequences: all is to be computed anew
  bool admitted = false;  // was taken into a batch before (a preempted one comes back)
  bool ended = false;     // its last event is published and it holds nothing
  RequestStats stats;

 private:
  void extend_last_look();
};

}  // namespace saccade
