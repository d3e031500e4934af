"""Deliberate bugs of what acts inside the decoder (mutants.py says how they are written)."""

from mutant import ALONE, BATCHED, CORE, mutants_in

ADAPTERS = ("lora_test", "")
CROSS = ("cross_attention_test", "")

IDEFICS = [
    *mutants_in(
        "engine/models/gated_cross_attention.cc",
        (CROSS, ALONE),
        (
            "cross_no_gate",
            "cross-attention added whole",
            "attention_gate_ * attend(attention_norm_(h), input.memories)",
            "attend(attention_norm_(h), input.memories)",
        ),
        (
            "cross_gate_linear",
            "gates of each channel without tanh",
            "at::tanh(scope.tensor(name, {1, 1, c.hidden_size})).flatten()",
            "scope.tensor(name, {1, 1, c.hidden_size}).flatten()",
        ),
        (
            "cross_number_gate_linear",
            "a gate of one number without tanh",
            "at::tanh(scope.tensor(name, {1}))",
            "scope.tensor(name, {1})",
        ),
        (
            "cross_no_query_norm",
            "queries not normalised",
            "query_norm_->normalize_heads(queries, 0, config_.num_heads)",
            "(void)queries",
        ),
        (
            "cross_no_key_norm",
            "keys not normalised",
            "key_norm_->normalize_heads(rows, 0, config_.num_heads)",
            "(void)rows",
        ),
        (
            "cross_keys_for_values",
            "keys in the place of the values",
            "run.memory.narrow(1, column_ + inner, inner)",
            "run.memory.narrow(1, column_, inner)",
        ),
        (
            "cross_first_block_for_all",
            "every block reads the first one's keys",
            "2 * c.inner() * index",
            "0 * c.inner() * index",
        ),
        (
            "cross_words_skip_the_mlp",
            "without a picture the gated MLP is left out",
            "x + mlp_gate_ * mlp(mlp_norm_(x))",
            "(input.memories.empty() ? h : x + mlp_gate_ * mlp(mlp_norm_(x)))",
        ),
    ),
    *mutants_in(
        "engine/layers/attention_prompts.cc",
        (ADAPTERS,),
        ("prompt_no_gate", "learned prompts added whole", "seen * prompt.gate", "seen"),
        (
            "prompt_heads_tiled",
            "learned keys: key head of query head h: h mod n",
            "keys.repeat_interleave(group, 0)",
            "keys.repeat({group, 1, 1})",
        ),
        (
            "prompt_for_all",
            "every adapter's rows look at every prompt",
            "if (prompt.adapter != run.adapter) continue;",
            "",
        ),
    ),
    *mutants_in(
        "engine/models/adaption_prompt.cc",
        (ADAPTERS,),
        (
            "prompt_bias_once",
            "the output projection's bias counted once",
            "attention.output.repeat_bias(adapter);",
            "",
        ),
        (
            "prompt_keys_for_values",
            "a prompt's keys in the place of its values",
            "by_heads(queries + keys)",
            "by_heads(queries)",
        ),
    ),
    *mutants_in(
        "engine/models/idefics.cc",
        (ALONE,),
        (
            "idefics_block_behind",
            "cross-attention before the last layer of an interval",
            "decoder_.insert_before(i * config.interval, blocks_.back())",
            "decoder_.insert_before((i + 1) * config.interval - 1, blocks_.back())",
        ),
        (
            "idefics_layer_early",
            "the tower's last block but one",
            "tower_.hidden_states(pixels, {tower_.config().num_layers})",
            "tower_.hidden_states(pixels, {tower_.config().num_layers - 1})",
        ),
    ),
    *mutants_in(
        "engine/models/llama_adapter.cc",
        (ALONE,),
        ("picture_prompt_no_gate", "a picture's prompts added whole", "seen * gates_", "seen"),
        (
            "picture_prompt_keys_for_values",
            "a picture's keys in the place of its values",
            "by_heads(column_ + width_)",
            "by_heads(column_)",
        ),
        (
            "picture_prompt_first_layers",
            "prompts in the first layers",
            "return config_.text.num_layers - config_.layers;",
            "return 0;",
        ),
        (
            "picture_prompt_text_alone",
            "text without a picture looks at nothing",
            "add_run(mixed, queries, {done, mixed.size(0) - done, *blank_});",
            "",
        ),
    ),
    *mutants_in(
        "engine/models/lavin.cc",
        (ALONE,),
        (
            "lavin_routes_of_text",
            "prompts with pictures take the experts of text",
            "modality.narrow(0, run.first, run.count).fill_(1)",
            "modality.narrow(0, run.first, run.count).fill_(0)",
        ),
        (
            "lavin_tower_routed_by_class_token",
            "all rows of a picture take the class token's experts",
            "router_(x) / temperature_",
            "router_(x.narrow(1, 0, 1)) / temperature_",
        ),
        (
            "lavin_answer_not_shifted",
            "the answer's positions go on behind the prompt's",
            "info.keys.answer_shift = -1;",
            "info.keys.answer_shift = 0;",
        ),
    ),
    *mutants_in(
        "engine/models/routed_adapter.cc",
        (ALONE,),
        (
            "routed_adapter_no_sum",
            "an adapter in the place of its input",
            "up_.added_to(x, routed)",
            "up_(routed)",
        ),
    ),
    *mutants_in(
        "engine/runtime/torch_executor.cc",
        (BATCHED,),
        (
            "modality_of_other_rows",
            "the first rows of a step are those of a picture's request",
            "input.with_media.push_back({first_row, entry.length})",
            "input.with_media.push_back({0, entry.length})",
        ),
    ),
    *mutants_in(
        "engine/core/sequence.cc",
        (CORE,),
        (
            "text_shared_with_pictures",
            "text before a picture shares the blocks of text alone where their keys differ",
            "rules.media_changes_text && !request.media.empty()",
            "false",
        ),
    ),
    *mutants_in(
        "engine/models/openflamingo.cc",
        (ALONE,),
        (
            "flamingo_block_early",
            "cross-attention before the first layer of an interval",
            "decoder_.insert_before((i + 1) * config.interval - 1, blocks_.back())",
            "decoder_.insert_before(i * config.interval, blocks_.back())",
        ),
        (
            "flamingo_cls_kept",
            "the resampler sees the class token",
            "rows.narrow(1, 1, rows.size(1) - 1)",
            "rows",
        ),
        (
            "flamingo_resampler_relu",
            "the resampler's MLP of IDEFICS",
            "flamingo.resampler.activation = Activation::kGelu;",
            "flamingo.resampler.activation = Activation::kRelu;",
        ),
    ),
    *mutants_in(
        "engine/models/resampler.cc",
        (CROSS,),
        (
            "resampler_latents_unseen",
            "latents not among the keys",
            "at::cat({layer.context_norm(context), own}, 1)",
            "layer.context_norm(context)",
        ),
        (
            "resampler_gelu",
            "gelu for relu",
            "layer.up.activated(layer.mlp_norm(x), config_.activation)",
            "layer.up.activated(layer.mlp_norm(x), Activation::kGelu)",
        ),
        ("resampler_no_final_norm", "the last norm left out", "return norm_(x);", "return x;"),
    ),
    *mutants_in(
        "engine/core/sequence.cc",
        (CORE,),
        (
            "look_ends_with_prompt",
            "the answer's tokens look at no picture",
            "last.length += std::max(request.sampling.max_tokens, 0);",
            "",
        ),
    ),
    *mutants_in(
        "engine/core/scheduler.cc",
        (CORE,),
        (
            "decode_without_picture",
            "a decode goes on although what it looks at is gone",
            "return holds_output(sequence, ahead.front().media);",
            "return true;",
        ),
    ),
]
