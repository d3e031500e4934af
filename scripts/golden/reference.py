"""Runs the reference library on one prompt and records every stage."""

import contextlib
import re

import torch

from families import FAMILIES

STEPS = 16


def model_inputs(inputs):
    """Without what only the generator needs."""
    return {key: value for key, value in inputs.items() if not key.startswith("picture_")}


class StageRecorder:
    """Keeps the output of named modules of the first forward pass, and the input of some of them."""

    def __init__(self, model, family):
        self.tensors = {}
        self._handles = []
        for name, module in model.named_modules():
            if hasattr(module, "layers") or hasattr(module, "blocks"):
                self._watch_embeddings(module)
            for pattern, key, take_input in stages_of(family):
                match = re.search(pattern, name)
                if match:
                    self._watch(module, key.format(*match.groups()), take_input)
                    if re.search(r"layers?\.0$", name) and key in _FIRST_INPUT:
                        self._watch(module, _FIRST_INPUT[key], True)

    def _watch(self, module, key, take_input):
        def hook(_module, args, kwargs, output):
            if key in self.tensors:
                return
            value = (args[0] if args else kwargs["hidden_states"]) if take_input else output
            value = getattr(value, "pooler_output", value)  # of 5.x's Qwen towers: their visual tokens
            self.tensors[key] = (value[0] if isinstance(value, tuple) else value).detach().clone()

        self._handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def _watch_embeddings(self, backbone):
        """What enters the decoder: the given embeddings, else those of the ids."""
        names = ("embed_tokens", "wte", "embed_in")
        table = next((getattr(backbone, n) for n in names if hasattr(backbone, n)), None)
        if table is None:
            return

        def hook(_module, args, kwargs):
            given = kwargs.get("inputs_embeds")
            ids = args[0] if args else kwargs.get("input_ids")
            found = table(ids) if given is None else given
            self.tensors.setdefault("inputs_embeds", found.detach().clone())

        self._handles.append(backbone.register_forward_pre_hook(hook, with_kwargs=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()


# (module name, tensor key, input instead of output)
_DECODER = (
    r"(?:^|language_model\.)(?:model\.)?(?:decoder\.)?layers\.(\d+)$",
    "decoder.layer.{}",
    False,
)
_STAGES = {
    "llava": [
        _DECODER,
        (r"vision_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"multi_modal_projector$", "connector", False),
        (r"multi_modal_projector$", "vit.selected", True),
    ],
    "instructblip": [
        _DECODER,
        (r"vision_model\.encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"vision_model\.post_layernorm$", "vit.post_layernorm", False),
        (r"qformer\.embeddings$", "qformer.embeddings", False),
        (r"qformer\.encoder\.layer\.(\d+)$", "qformer.layer.{}", False),
        (r"language_projection$", "qformer.output", True),
        (r"language_projection$", "connector", False),
    ],
}
_STAGES["blip-2"] = [*_STAGES["instructblip"], (r"qformer\.layernorm$", "qformer.embeddings", False)]
BLIP = ("instructblip", "instructblipvideo", "blip-2")
_FIRST_INPUT = {"vit.block.{}": "vit.embeddings"}


def stages_of(family):
    return FAMILIES[family].stages if family in FAMILIES else _STAGES.get(family, [_DECODER])


class Reference:
    """One loaded checkpoint: whole forward passes, and the decoder alone on embeddings."""

    def __init__(self, model, family):
        self.model = model.eval()
        self.family = family
        self.decoder = model.language_model if family in BLIP else model
        self._embed = model.get_input_embeddings()

    def forward(self, inputs):
        """Logits [T,V] of the whole model. inputs: what the processor made (tensors with a batch of 1)."""
        self.reset_rope()
        with torch.no_grad():
            if self.family in BLIP and "pixel_values" not in inputs:
                return self.decoder(input_ids=inputs["input_ids"]).logits[0]
            return self.model(**model_inputs(inputs)).logits[0]

    def stages(self, inputs):
        self._prompt = model_inputs(inputs)
        with StageRecorder(self.model, self.family) as recorder:
            logits = self.forward(inputs)
        stages = dict(recorder.tensors)
        for key in list(stages):
            if key.startswith("decoder.") or key == "inputs_embeds":
                stages[key] = stages[key][0]
        connector = stages.get("connector")
        if self.family in FAMILIES:
            if "picture_tokens" in inputs:
                stages |= FAMILIES[self.family].joined(self.model, model_inputs(inputs))
        elif connector is not None and connector.dim() == 2:  # some versions concatenate the pictures
            stages["connector"] = connector.reshape(
                inputs["pixel_values"].shape[0], -1, connector.shape[-1]
            )
        if self.family in BLIP and "vit.post_layernorm" in stages:
            stages["vit.selected"] = stages["vit.post_layernorm"]
        return logits, stages

    def greedy(self, embeds):
        """(ids, logits [S,V]) of STEPS greedy steps after the prompt embeddings [T,H]; end tokens are ignored."""
        self.reset_rope()
        embeds, ids, rows, past = embeds[None], [], [], None
        with torch.no_grad():
            for _ in range(STEPS):
                out = self.run(embeds, past)
                rows.append(out.logits[0, -1])
                ids.append(int(rows[-1].argmax()))
                embeds, past = self._embed(torch.tensor([[ids[-1]]])), out.past_key_values
        return ids, torch.stack(rows)

    def run(self, embeds, past=None):
        """The decoder on embeddings [1,T,H] that follow what `past` holds, of the prompt of the last stages()."""
        start, extra = past.get_seq_length() if past is not None else 0, {}
        if self.family in FAMILIES:
            family = FAMILIES[self.family]
            extra = family.positions(self.model, self._prompt, start, embeds.shape[1])
        return self.decoder(inputs_embeds=embeds, past_key_values=past, use_cache=True, **extra)

    def reset_rope(self):
        """Dynamic rope remembers the longest sequence it has seen; every pass here starts afresh."""
        for module in self._dynamic_ropes():
            module.register_buffer("inv_freq", module.original_inv_freq, persistent=False)
            module.max_seq_len_cached = module.original_max_seq_len

    def dynamic_rope(self):
        return bool(self._dynamic_ropes())

    def _dynamic_ropes(self):
        return [
            module
            for module in self.model.modules()
            if hasattr(module, "original_inv_freq")
            and "dynamic" in str(getattr(module, "rope_type", ""))
        ]

    def embed(self, ids):
        with torch.no_grad():
            return self._embed(torch.tensor([ids]))[0]


@contextlib.contextmanager
def patched_double(family=None):
    """Inside, the library's float32 islands (RMSNorm, rotary product, softmax) follow the dtype of their input."""
    from transformers.models.clip import modeling_clip
    from transformers.models.llama import modeling_llama
    from transformers.models.opt import modeling_opt

    places = [
        (modeling_llama.LlamaRMSNorm, "forward", _rms_norm),
        (modeling_llama.LlamaRotaryEmbedding, "forward", _rotary),
        (modeling_llama, "eager_attention_forward", _llama_attention),
        (modeling_clip, "eager_attention_forward", _attention),
        (modeling_opt, "eager_attention_forward", _attention),
    ]
    doubles = {
        "attention": _attention,
        "attention_of_groups": _attention_of_groups,
        "grouped_attention": _llama_attention,
        "rotary": _rotary,
        "cached_rotary": _cached_rotary,
        "rms_norm": _rms_norm,
        "rotary_of_three": _rotary_of_three,
        "vision_rotation": _vision_rotation,
    }
    if family in FAMILIES:
        places += [(o, name, doubles[kind]) for o, name, kind in FAMILIES[family].doubled()]
    saved = [getattr(owner, name) for owner, name, _ in places]
    for owner, name, replacement in places:
        setattr(owner, name, replacement)
    try:
        yield
    finally:
        for (owner, name, _), original in zip(places, saved):
            setattr(owner, name, original)


def double_precision(model):
    """The model in float64; the rotary frequencies are widened, not recomputed."""
    frequencies = {
        name: buffer.clone() for name, buffer in model.named_buffers() if name.endswith("inv_freq")
    }
    model = model.double()
    for name, buffer in frequencies.items():
        model.get_submodule(name.rpartition(".")[0]).inv_freq = buffer.double()
    return model


def _rms_norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def _rotary(self, x, position_ids):
    angles = position_ids[:, :, None].to(x.dtype) * self.inv_freq[None, None, :].to(x.dtype)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos() * self.attention_scaling, both.sin() * self.attention_scaling


def _cached_rotary(self, x, seq_len):
    """cos and sin of positions [0, seq_len)."""
    angles = torch.arange(seq_len, dtype=x.dtype)[:, None] * self.inv_freq.to(x.dtype)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos(), both.sin()


def _rotary_of_three(self, x, position_ids):
    angles = position_ids[..., None].to(x.dtype) * self.inv_freq.to(x.dtype)
    both = torch.cat([angles, angles], dim=-1)
    return both.cos() * self.attention_scaling, both.sin() * self.attention_scaling


def _vision_rotation(q, k, cos, sin):
    def turned(x):
        half = x.shape[-1] // 2
        other = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return x * cos.unsqueeze(-2) + other * sin.unsqueeze(-2)

    return turned(q), turned(k)


def _llama_attention(module, query, key, value, attention_mask, scaling, **_):
    groups = module.num_key_value_groups
    return _attention(
        module,
        query,
        key.repeat_interleave(groups, 1),
        value.repeat_interleave(groups, 1),
        attention_mask,
        scaling,
    )


def _attention_of_groups(module, query, key, value, attention_mask, scaling, **_):
    """The perceiver has groups, the tower of the same module none."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    return _attention(module, query, key, value, attention_mask, scaling)


def _attention(_module, query, key, value, attention_mask, scaling, **_):
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, :, : key.shape[-2]]
    weights = scores.softmax(dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights
