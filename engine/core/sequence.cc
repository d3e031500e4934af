#include "engine/core/sequence.h"

#include <algorithm>
#include <bit>

#include "engine/core/grid_positions.h"
#include "engine/core/sha256.h"

namespace saccade {
namespace {

// Names what the KV cache holds for one full block: everything before it (the parent's hash), its
// token ids, and for each visual position which row of which encoder output stands there, at which
// pace of frames, or which output a position looks at. They are told as runs; placeholder ids alone
// are equal for all pictures.
ContentHash hash_block(const ContentHash& parent, std::span<const TokenId> ids, int start,
                       std::span<const MediaSpan> spans, std::span<const EncoderInput> media) {
  const int end = start + static_cast<int>(ids.size());
  Sha256 hash;
  hash.update(parent);
  hash.update_u32(static_cast<uint32_t>(ids.size()));
  for (const TokenId id : ids) hash.update_u32(static_cast<uint32_t>(id));
  for (const MediaSpan& span : spans) {
    if (span.position >= end) break;
    const int first = std::max(span.position, start);
    const int last = std::min(span.position + span.length, end);
    hash.update_u32(static_cast<uint32_t>(first - start));
    hash.update_u32(static_cast<uint32_t>(last - first));
    hash.update_u32(static_cast<uint32_t>(span.offset + first - span.position));
    hash.update_u32(std::bit_cast<uint32_t>(span.grid.frame_step));
    hash.update(media[span.media].key);
  }
  return hash.finish();
}

// The parent of a sequence's first block: an adapter makes other keys and values of the same
// tokens, and so may a picture somewhere in the request; a salt sets apart what is equal.
ContentHash root_hash(const Request& request, bool media_changes_text) {
  const std::string& salt = request.cache_salt;
  if (request.adapter == 0 && !media_changes_text && salt.empty()) return {};
  Sha256 hash;
  hash.update_u32(static_cast<uint32_t>(request.adapter));
  hash.update_u32(media_changes_text ? 1 : 0);
  hash.update(salt.data(), salt.size());
  return hash.finish();
}

// The parent of a block that holds tokens of an answer whose positions jump: a prompt of the same
// tokens has others there.
ContentHash jumped(const ContentHash& before, int answer_begin, int64_t jump) {
  Sha256 hash;
  hash.update(before);
  hash.update_u32(static_cast<uint32_t>(answer_begin));
  hash.update_u32(static_cast<uint32_t>(jump));
  return hash.finish();
}

}  // namespace

Sequence::Sequence(QueuedRequest queued)
    : request(std::move(queued.request)), ticket(std::move(queued.ticket)) {
  tokens = std::move(request.prompt);
  prompt_length = length();
  next_score = request.sampling.prompt_logprobs
                   ? std::min(request.sampling.prompt_logprobs_from, prompt_length)
                   : prompt_length;
  // Batches hold spans into `tokens`: it must not move while the answer grows.
  tokens.reserve(tokens.size() + static_cast<size_t>(std::max(request.sampling.max_tokens, 0)));
  media_rows.resize(request.media.size());
  for (const MediaSpan& span : request.spans) {
    media_rows[span.media] = std::max(media_rows[span.media], span.end_row());
  }
  extend_last_look();
}

// The answer's tokens look at what the prompt's last one looks at.
void Sequence::extend_last_look() {
  if (request.spans.empty()) return;
  MediaSpan& last = request.spans.back();
  if (!last.looks() || last.position + last.length != prompt_length) return;
  last.length += std::max(request.sampling.max_tokens, 0);
}

std::span<const MediaSpan> Sequence::spans_after(int from) const {
  const auto first =
      std::partition_point(request.spans.begin(), request.spans.end(),
                           [&](const MediaSpan& s) { return s.position + s.length <= from; });
  return {first, request.spans.end()};
}

void Sequence::hash_blocks(int count, int block_size, const KeyRules& rules) {
  const bool changed = rules.media_changes_text && !request.media.empty();
  while (static_cast<int>(hashes.size()) < count) {
    const int start = static_cast<int>(hashes.size()) * block_size;
    ContentHash parent = hashes.empty() ? root_hash(request, changed) : hashes.back();
    if (start + block_size > prompt_length) {
      const int64_t jump = GridPositions::jump(request.spans, prompt_length) + rules.answer_shift;
      if (jump != 0) parent = jumped(parent, prompt_length - start, jump);
    }
    hashes.push_back(hash_block(parent, std::span(tokens).subspan(start, block_size), start,
                                spans_after(start), request.media));
  }
}

}  // namespace saccade
