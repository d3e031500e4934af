"""The reference library's plain forward pass on a tiny checkpoint: no cache, no batch, no chunks."""

import functools

from server_process import GOLDEN


@functools.cache
def _model(name):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(GOLDEN / name, dtype=torch.float32).eval()


def log_probabilities(name, ids):
    """[len(ids), vocab] in float64: row i says what may follow ids[: i + 1]."""
    import torch

    with torch.no_grad():
        return _model(name)(torch.tensor([ids])).logits[0].double().log_softmax(-1)


def hidden_states(name, ids):
    """[len(ids), hidden] behind the final norm."""
    import torch

    with torch.no_grad():
        return _model(name)(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0].double()
