"""Deliberate bugs of Idefics2 and Qwen-VL (mutants.py says how they are written)."""

from mutant import ALONE, CORE, STAGES, mutants_in as _in

PERCEIVER = _in(
    "engine/models/idefics2.cc",
    (STAGES,),
    (
        "idefics2_no_post_norm",
        "tower without its final norm",
        "tower_.post_norm(tower_.hidden_states(pixels, {layers})[0])",
        "tower_.hidden_states(pixels, {layers})[0]",
    ),
    (
        "idefics2_parts_mixed_up",
        "parts in the other order",
        "rows[members[i]] = tokens[i];",
        "rows[rows.size() - 1 - members[i]] = tokens[i];",
    ),
) + _in(
    "engine/models/perceiver.cc",
    (STAGES,),
    (
        "perceiver_latents_unseen",
        "latents look at the picture alone",
        "at::cat({normalized_rows(layer.context_norm, context), x}, 1)",
        "normalized_rows(layer.context_norm, context)",
    ),
    (
        "perceiver_groups_tiled",
        "key heads tiled, not repeated",
        "split_heads(rows, config_.num_kv_heads).repeat_interleave(group, 1)",
        "split_heads(rows, config_.num_kv_heads).repeat({1, group, 1, 1})",
    ),
    (
        "perceiver_no_residual",
        "attention without the latents it started from",
        "latents + layer.output(mixed)",
        "layer.output(mixed)",
    ),
    (
        "perceiver_no_final_norm",
        "perceiver without its final norm",
        "return normalized_rows(norm_, x);",
        "return x;",
    ),
) + _in(
    "engine/models/gated_mlp.cc",
    (STAGES,),
    (
        "gated_mlp_swapped",
        "gate and up exchanged",
        "activate_gated(gate_up_(x), activation_)",
        "activate_gated(gate_up_(x).unflatten(-1, {2, -1}).flip(-2).flatten(-2), activation_)",
    ),
)

QWEN = _in(
    "engine/models/qwen_vit.cc",
    (STAGES,),
    (
        "qwen_axes_swapped",
        "rotation by column and row for row and column",
        "at::cat(axes, 1)",
        "at::cat(axes, 1).roll(dim / 2, 1)",
    ),
    (
        "qwen_places_line_by_line",
        "places of patches line by line, not in blocks",
        "in_blocks(axis.expand({grid.rows, grid.columns}), config.merge_size)",
        "axis.expand({grid.rows, grid.columns}).flatten()",
    ),
    (
        "qwen_frames_before_channels",
        "patches with their frames before their channels",
        "cut.permute({0, 3, 6, 4, 7, 2, 1, 5, 8})",
        "cut.permute({0, 3, 6, 4, 7, 1, 2, 5, 8})",
    ),
    (
        "qwen_frames_see_each_other",
        "attention over a whole video",
        "layout.frame_lengths.insert(layout.frame_lengths.end(), grid.frames, grid.rows * grid.columns);",
        "layout.frame_lengths.push_back(grid.size());",
    ),
    (
        "qwen_first_frame_repeated",
        "an odd video filled up with its first frame",
        "frames.narrow(0, frames.size(0) - 1, 1)",
        "frames.narrow(0, 0, 1)",
    ),
    (
        "qwen_no_windows",
        "every block sees the whole frame",
        "config_.full_attention(i) ? layout.frame_lengths : layout.window_lengths",
        "layout.frame_lengths",
    ),
    (
        "qwen_window_order_kept",
        "visual tokens left sorted by window",
        "tokens.index_select(0, layout.restore.to(x.device()))",
        "tokens.index_select(0, layout.order.to(x.device()))",
    ),
    (
        "qwen_merger_tanh_gelu",
        "merger: tanh gelu for erf gelu",
        "merger1_.activated(rows, Activation::kGelu)",
        "merger1_.activated(rows, Activation::kGeluTanh)",
    ),
) + _in(
    "engine/core/grid_positions.cc",
    (CORE, ALONE),
    (
        "frames_one_by_one",
        "a video's frames one position apart, whatever their pace",
        "static_cast<float>(frame) * span.grid.frame_step",
        "static_cast<float>(frame)",
    ),
    (
        "text_behind_the_longest_axis",
        "the text behind a video goes on where 4.57 has it, in folders of 5.x too",
        "span.grid.extent > 0 ? span.grid.extent : reach(span)",
        "reach(span)",
    ),
    (
        "answer_without_jump",
        "an answer goes on where the prompt's text left off",
        "jump() + answer_shift_",
        "answer_shift_",
    ),
)
