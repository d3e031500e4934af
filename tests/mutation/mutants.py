"""The deliberate bugs: exact substitutions in the sources, and the tests of which one must turn red.

`old` is an expression or whole statements, occurs exactly once in `path`, and `new` could stand in its place. `tests`
are run in order until one is red: a test program, or one and the test cases to run (a Catch2 pattern).
"""

from decoder_mutants import ACTIVATIONS, DECODERS, RELEASES, ROPE
from idefics_mutants import IDEFICS
from kernel_mutants import KERNEL
from llava_mutants import LLAVA
from mutant import ALONE, BATCHED, CHUNKED, CORE, DISTRIBUTION, SAMPLER, STAGES, mutants_in as _in
from pixtral_mutants import PIXTRAL
from qwen_mutants import PERCEIVER, QWEN
from visual_mutants import VISUAL

GELU = 'parse_activation(config.string("hidden_act", "gelu"), config.path() + ".hidden_act")'
VIT = _in(
    "engine/models/vit.cc",
    (STAGES,),
    (
        "vit_eps",
        "EVA tower: LayerNorm epsilon 1e-5 for 1e-6",
        'config.number_in("layer_norm_eps", 1e-6, 0, 1)',
        "1e-5",
    ),
    ("vit_gelu_tanh", "EVA tower: tanh gelu for erf gelu", GELU, "Activation::kGeluTanh"),
    ("vit_quick_gelu", "EVA tower: quick_gelu for erf gelu", GELU, "Activation::kQuickGelu"),
    (
        "clip_gelu",
        "CLIP tower: erf gelu for quick_gelu",
        "Activation::kQuickGelu",
        "Activation::kGelu",
    ),
    (
        "vit_no_positions",
        "no position embedding",
        "at::cat({class_.expand({n, 1, config_.hidden_size}), patches}, 1) + positions_",
        "at::cat({class_.expand({n, 1, config_.hidden_size}), patches}, 1)",
    ),
    (
        "vit_grid_transposed",
        "patches in column order",
        "patches_(rows)",
        "patches_(rows.view({n, high, wide, -1}).transpose(1, 2).reshape(rows.sizes()))",
    ),
    (
        "clip_no_pre_norm",
        "CLIP without its first LayerNorm",
        "return pre_norm_.empty() ? x : pre_norm_.front()(x);",
        "return x;",
    ),
    (
        "vit_qkv_bias_dropped",
        "qkv.bias not added",
        'Linear(weight, scope("qkv").tensor("bias", {3 * d}))',
        "Linear(weight, std::nullopt)",
    ),
    (
        "vit_old_bias_misplaced",
        "old files: v_bias added to the keys",
        'at::cat({q, at::zeros_like(q), scope.tensor("v_bias", {d})})',
        'at::cat({q, scope.tensor("v_bias", {d}), at::zeros_like(q)})',
    ),
)

QFORMER = _in(
    "engine/models/qformer.cc",
    (STAGES,),
    (
        "qformer_position_offset",
        "text positions counted after the queries",
        "positions_.narrow(0, 0, ids.size(1))",
        "positions_.narrow(0, config_.num_queries, ids.size(1))",
    ),
    (
        "qformer_eps",
        "LayerNorm epsilon 1e-5 for 1e-12",
        'config.number_in("layer_norm_eps", 1e-12, 0, 1)',
        "1e-5",
    ),
    (
        "qformer_cross_frequency",
        "cross-attention in half of its layers",
        "i % config.cross_attention_frequency == 0",
        "i % (2 * config.cross_attention_frequency) == 0",
    ),
    (
        "qformer_cross_skipped",
        "no cross-attention",
        "if (layer.cross_attention) queries = (*layer.cross_attention)(queries, image, config_.num_heads);",
        "",
    ),
    (
        "qformer_shared_ffn",
        "the text's feed-forward used for the queries",
        "layer.query_ffn(queries, config_.activation)",
        "(*layer.text_ffn)(queries, config_.activation)",
    ),
    (
        "qformer_query_ffn_for_text",
        "the queries' feed-forward used for the text",
        "(*layer.text_ffn)(text, config_.activation)",
        "layer.query_ffn(text, config_.activation)",
    ),
    ("qformer_gelu_tanh", "tanh gelu for erf gelu", GELU, "Activation::kGeluTanh"),
)

POSITION = "input.positions.push_back({places.at(p), p, computed, known});"
EXECUTOR = _in(
    "engine/runtime/torch_executor.cc",
    (ALONE,),
    (
        "position_in_decode",
        "positions one too high while decoding",
        POSITION,
        POSITION.replace("at(p)", "at(p + (entry.start > 0 ? 1 : 0))"),
    ),
    (
        "dynamic_length_of_token",
        "dynamic rope by each token's own position, not by the prompt",
        "std::max(p + 1, entry.prompt_length)",
        "p + 1",
    ),
    (
        "slot_off_by_one",
        "keys and values one slot further in their block",
        "block * options_.block_size + p % options_.block_size",
        "block * options_.block_size + (p + 1) % options_.block_size",
    ),
    (
        "splice_shifted",
        "visual tokens one position too late",
        "h.narrow(0, row, count)",
        "h.narrow(0, row + 1, count)",
    ),
    (
        "spans_ignored",
        "visual tokens never put in place",
        "if (first >= last) return true;",
        "return true;",
    ),
) + _in(
    "engine/runtime/torch_executor.cc",
    (BATCHED,),
    (
        "logits_row_of_neighbour",
        "in a batch the first sequence's logits for all",
        "logits.narrow(0, first, count)",
        "logits.narrow(0, 0, count)",
    ),
) + _in(
    "engine/runtime/torch_executor.cc",
    (CHUNKED,),
    (
        "splice_chunk_offset",
        "a chunk that begins inside a picture gets its first rows again",
        "span.offset + first - span.position",
        "span.offset",
    ),
)

SAMPLING = _in(
    "engine/runtime/sampler.cc",
    (SAMPLER,),
    (
        "logprob_after_penalties",
        "log-probability of the adjusted logits",
        "result.logprob = logits[result.token] - norm;",
        "result.logprob = (adjusted ? adjusted_[result.token] : logits[result.token]) - norm;",
    ),
    (
        "presence_counts_prompt",
        "presence and frequency penalties count the prompt",
        "for (const TokenId id : tokens.subspan(prompt_length)) ++counts[id];",
        "for (const TokenId id : tokens) ++counts[id];",
    ),
    (
        "repetition_sign",
        "repetition penalty divides negative logits too",
        "x = x < 0 ? x * params.repetition_penalty : x / params.repetition_penalty;",
        "x = x / params.repetition_penalty;",
    ),
) + _in(
    "engine/runtime/token_distribution.cc",
    (DISTRIBUTION,),
    (
        "top_p_one_too_few",
        "top_p leaves out the token that crosses the border",
        "std::max<int64_t>(1, std::llround(std::ceil(missing / last)))",
        "std::llround(std::ceil(missing / last)) - 1",
    ),
    (
        "top_k_keeps_equals",
        "top_k keeps all that weigh as much as the last",
        "if (last > 0) keep_from(last, count);",
        "if (last > 0) keep_from(last, std::numeric_limits<int64_t>::max());",
    ),
)

PREFIX = _in(
    "engine/core/sequence.cc",
    (CORE,),
    (
        "prefix_without_media",
        "blocks of different pictures share one name",
        "hash.update(media[span.media].key);",
        "",
    ),
    (
        "prefix_without_row",
        "blocks that hold other rows of a picture share one name",
        "hash.update_u32(static_cast<uint32_t>(span.offset + first - span.position));",
        "",
    ),
    (
        "prefix_without_parent",
        "blocks after different beginnings share one name",
        "hash.update(parent);",
        "",
    ),
) + _in(
    "engine/core/scheduler.cc",
    (CORE,),
    (
        "prefix_takes_last_token",
        "a prompt found whole in the cache leaves nothing to compute",
        "sequence.cacheable() / config_.block_size",
        "sequence.length() / config_.block_size",
    ),
) + _in(
    "engine/core/block_manager.cc",
    (CORE,),
    (
        "block_keeps_name",
        "a block given to another sequence is still found by its old name",
        "by_hash_.erase(taken.hash);",
        "",
    ),
)

MUTANTS = [
    *VIT,
    *VISUAL,
    *PERCEIVER,
    *QWEN,
    *PIXTRAL,
    *IDEFICS,
    *LLAVA,
    *QFORMER,
    *DECODERS,
    *ROPE,
    *RELEASES,
    *ACTIVATIONS,
    *EXECUTOR,
    *SAMPLING,
    *PREFIX,
    *KERNEL,
]
