"""Deliberate bugs of the families between tower and decoder, LLaVA's apart (mutants.py says how they are written)."""

from mutant import BATCHED, CORE, STAGES, mutants_in as _in

NAVIT = _in(
    "engine/models/vit.cc",
    (STAGES,),
    (
        "navit_rule_of_5x",
        "position rows by 5.x's formula for a folder of 4.57",
        "fraction_rule(library_version)",
        "fraction_rule({5, 0})",
    ),
    (
        "navit_eps",
        "SigLIP tower: LayerNorm epsilon 1e-5 for 1e-6",
        'config.number_in("layer_norm_eps", defaults.layer_norm_eps, 0, 1)',
        "1e-5",
    ),
    (
        "navit_erf_gelu",
        "SigLIP tower: erf gelu for tanh gelu",
        """parse_activation(config.string("hidden_act", "gelu_pytorch_tanh"),
                                    config.path() + ".hidden_act")""",
        "Activation::kGelu",
    ),
    (
        "navit_grid_transposed",
        "row and column of a position swapped",
        "patch_positions(config_.positions, rows, side).unsqueeze(1) * side",
        "patch_positions(config_.positions, rows, side).unsqueeze(1)",
    ),
)

IDEFICS3 = _in(
    "engine/models/idefics3.cc",
    (STAGES,),
    (
        "pixel_shuffle_columns",
        "the patches of a visual token column by column",
        "x.view({n, half, scale, half, scale, d})",
        "x.view({n, half, scale, half, scale, d}).transpose(2, 4)",
    ),
    (
        "idefics3_no_post_norm",
        "tower without its final norm",
        "tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0])",
        "tower_.hidden_states(pixels, {config_.vision.num_layers})[0]",
    ),
) + _in(
    "engine/models/encoder_batch.cc",
    (BATCHED,),
    (
        "parts_of_neighbour",
        "pictures of several parts get the first ones' rows",
        "first += input->media->frames;",
        "first += 1;",
    ),
)

MINIGPT = _in(
    "engine/models/minigpt_v2.cc",
    (STAGES,),
    (
        "minigpt_no_post_norm",
        "EVA tower without its final LayerNorm",
        "tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0])",
        "tower_.hidden_states(pixels, {config_.vision.num_layers})[0]",
    ),
    (
        "minigpt_cls_for_last_patch",
        "patches counted from the class token on",
        "rows.narrow(1, 1, rows.size(1) - 1)",
        "rows.narrow(1, 0, rows.size(1) - 1)",
    ),
)

MEDVINT = (
    _in(
        "engine/models/resnet.cc",
        (STAGES,),
        (
            "resnet_max_pool",
            "the largest of two by two for their mean",
            "at::avg_pool2d(x, {stride, stride})",
            "at::max_pool2d(x, {stride, stride})",
        ),
    )
    + _in(
        "engine/models/query_decoder.cc",
        (STAGES,),
        (
            "queries_alone",
            "queries do not look at each other",
            "x + layer.self_output(attend(own[0], own[1], own[2]))",
            "x + layer.self_output(own[2])",
        ),
    )
    + _in(
        "engine/models/medvint.cc",
        (STAGES,),
        (
            "medvint_gelu",
            "gelu for relu behind the queries",
            "linear2_(at::relu(linear1_(rows)))",
            "linear2_(at::gelu(linear1_(rows)))",
        ),
    )
)

BLIP_IMAGE = "tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0])"
INSTRUCTBLIP = _in(
    "engine/models/blip.cc",
    (STAGES,),
    (
        "blip_no_post_norm",
        "EVA tower without its final LayerNorm",
        BLIP_IMAGE,
        "tower_.hidden_states(pixels, {config_.vision.num_layers})[0]",
    ),
    ("blip_cls_dropped", "Q-Former does not see CLS", BLIP_IMAGE, BLIP_IMAGE + ".slice(1, 1)"),
    (
        "qformer_no_text",
        "Q-Former without the instruction",
        "qformer_(image, ids)",
        "qformer_(image, ids.narrow(1, 0, 0))",
    ),
) + _in(
    "engine/models/blip.cc",
    (BATCHED,),
    (
        "blip_batch_mixed_up",
        "pictures of one batch get each other's visual tokens",
        "images.push_back(towers[frame.input].narrow(0, frame.part, 1));",
        "images.push_back(towers[&frame - frames.data()].narrow(0, frame.part, 1));",
    ),
)

TOWERS = _in(
    "engine/runtime/encoder_outputs.cc",
    (("encoder_outputs_test", ""),),
    (
        "tower_not_evicted",
        "what was dropped of a picture is taken again",
        "for (const ContentHash& picture : batch.evict_towers) towers_.erase(picture);",
        "",
    ),
    (
        "tower_not_kept",
        "another question runs the tower again",
        "if (task.tower == Tower::kKept) towers_[picture] = each.back().clone();",
        "",
    ),
) + _in(
    "engine/core/scheduler.cc",
    (CORE,),
    (
        "tower_of_another_picture",
        "a step runs more towers than it may",
        "return towers_left_ > 0 || tower_cache_.contains(input.media->hash);",
        "return true;",
    ),
) + _in(
    "engine/core/scheduler_commit.cc",
    (CORE,),
    (
        "tower_of_failed_picture",
        "the tower's output for a picture that failed is trusted",
        "if (task.tower == Tower::kPassing) return;",
        "return;",
    ),
)

VISUAL = [*TOWERS, *NAVIT, *IDEFICS3, *MINIGPT, *MEDVINT, *INSTRUCTBLIP]
