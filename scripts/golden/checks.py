"""What makes a golden worth having: every input and every tensor of the checkpoint must reach the logits."""

import re

import torch

from families import FAMILIES

MIN_MARGIN = 1e-2
CACHE_TOLERANCE = 1e-5


def no_effect(spec, config, name):
    """Parameters that provably change nothing (see README.md)."""
    if config.get_text_config().model_type == "opt" and re.search(
        r"decoder\.layers\.\d+\.self_attn\.k_proj\.bias$", name
    ):
        return True
    if spec.family in FAMILIES:
        return FAMILIES[spec.family].no_effect(config, name)
    if spec.family == "llava":
        if "vision_tower" in name and name.endswith("k_proj.bias"):
            return True
        layers = config.vision_config.num_hidden_layers
        chosen = config.vision_feature_layer
        last = max(c % (layers + 1) for c in (chosen if isinstance(chosen, list) else [chosen]))
        block = re.search(r"vision_tower\..*encoder\.layers\.(\d+)\.", name)
        if (block and int(block.group(1)) >= last) or "post_layernorm" in name or ".head." in name:
            return True
        return (
            config.vision_feature_select_strategy == "default"
            and last == 0
            and "class_embedding" in name
        )
    if spec.family in ("instructblip", "blip-2"):
        final = config.qformer_config.num_hidden_layers - 1
        if re.search(rf"qformer\.encoder\.layer\.{final}\.(intermediate|output)\.", name):
            return True
        return bool(re.search(r"qformer\..*\.key\.bias$", name))
    return False


def check_tensors(spec, reference, prepared):
    """Perturbs one tensor at a time by a fifth of its spread."""
    base = [reference.forward(inputs) for inputs in prepared]
    dead, alive = [], []
    for name, parameter in reference.model.named_parameters():
        saved = parameter.detach().clone()
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            parameter.add_(0.2 * (saved.std() if saved.numel() > 1 else 1.0) * noise)
        delta = max(float((reference.forward(i) - b).abs().max()) for i, b in zip(prepared, base))
        with torch.no_grad():
            parameter.copy_(saved)
        if no_effect(spec, reference.model.config, name):
            if delta > 1e-4:
                alive.append(f"{name} ({delta:.1e})")
        elif not delta > 1e-4:
            dead.append(f"{name} ({delta:.1e})")
    if dead or alive:
        raise SystemExit(
            f"{spec.name}: without effect: {dead}; with effect against expectation: {alive}"
        )


def pixel_key(inputs):
    """None for text alone; some processors make a blank picture for it."""
    found = (key for key in inputs if key.startswith("pixel_values") and inputs[key].any())
    return next(found, None)


def check_picture(spec, reference, inputs):
    """Another picture must move the logits by more than a tenth of their spread."""
    logits = reference.forward(inputs)
    key = pixel_key(inputs)
    other = dict(inputs, **{key: inputs[key].flip(-1).roll(5, -2)})
    delta = float((reference.forward(other) - logits).abs().max())
    if not delta > 0.1 * float(logits.std()):
        raise SystemExit(f"{spec.name}: another picture moves the logits by {delta:.2e} only")
    return delta / float(logits.std())


def margin(step_logits):
    best = step_logits.topk(2, dim=-1).values
    return float((best[:, 0] - best[:, 1]).min())
