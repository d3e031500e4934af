"""Deliberate bugs of the LLaVA line (mutants.py says how they are written)."""

from mutant import STAGES, mutants_in

LLAVA = mutants_in(
    "engine/models/llava_parts.cc",
    (STAGES,),
    (
        "llava_wrong_layer",
        "the tower's hidden state one too early",
        "num_layers + 1 + layer",
        "num_layers + layer",
    ),
    (
        "llava_layers_swapped",
        "a list of layers concatenated in the other order",
        "states[place - ascending.begin()]",
        "states[ascending.end() - place - 1]",
    ),
    (
        "llava_cls_kept",
        "CLS kept, the last patch dropped",
        "state.narrow(1, skip, state.size(1) - skip)",
        "state.narrow(1, 0, state.size(1) - skip)",
    ),
    (
        "llava_projector_activation",
        "projector: quick_gelu for gelu",
        "linear1_.activated(features, activation_)",
        "linear1_.activated(features, Activation::kQuickGelu)",
    ),
)
