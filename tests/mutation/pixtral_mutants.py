"""Deliberate bugs of Pixtral and Mistral 3 (mutants.py says how they are written)."""

from mutant import ALONE, STAGES, mutants_in as _in

CHANNELS_FIRST = ".permute({0, 2, 4, 1, 3})  // a channel's square lies together"
SQUARES = f"""\
rows.narrow(0, first, height * columns)
                            .view({{height, columns, width}})
                            .narrow(0, 0, down * m)
                            .narrow(1, 0, across * m)
                            .reshape({{down, m, across, m, width}})
                            {CHANNELS_FIRST}
                            .reshape({{down * across, width * m * m}})"""
PIXTRAL = _in(
    "engine/models/pixtral_vit.cc",
    (STAGES,),
    (
        "pixtral_axes_swapped",
        "columns turn by the rows' frequencies",
        "at::cat({row * of_rows, column * of_columns}, 1)",
        "at::cat({column * of_rows, row * of_columns}, 1)",
    ),
    (
        "pixtral_no_residual",
        "attention without the rows it started from",
        "x + attend(block, block.attention_norm(x), rope, lengths)",
        "attend(block, block.attention_norm(x), rope, lengths)",
    ),
    (
        "pixtral_one_picture",
        "patches see those of all pictures",
        "lengths.push_back(patches.back().size(0));",
        "lengths.resize(1); lengths[0] += patches.back().size(0);",
    ),
) + _in(
    "engine/models/pixtral.cc",
    (STAGES,),
    (
        "mistral3_squares_by_position",
        "a square's patches lie one behind the other, not their channels",
        SQUARES,
        SQUARES.replace(CHANNELS_FIRST, ".permute({0, 2, 1, 3, 4})"),
    ),
    (
        "mistral3_eps",
        "the merger's norm with the tower's epsilon",
        "config.text.norm_eps",
        "1e-5",
    ),
)
