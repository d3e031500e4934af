"""Families that the library has no class for: tiny parts in the published layout, our converter, and a reference of our
own.

The reference model is made of the library's own parts (LLaMA, CLIP) and of the published tensors; it never reads the
folder that the converter makes, except for its tokenizer and picture processor.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile
import zlib

import torch
import transformers as hf

from weights import reinitialize

SCRIPTS = pathlib.Path(__file__).resolve().parents[1]
TABLES = ("pos_embed", "cls_token", "latents", "query", "embedding")
GATES = ("gate", "alpha")


def drawn(seed, name, *shape):
    """A tensor that reaches the logits, rounded to the precision that is stored."""
    generator = torch.Generator().manual_seed(seed * 1000003 + zlib.crc32(name.encode()))
    values = torch.randn(shape, generator=generator)
    if any(gate in name for gate in GATES):
        pass
    elif any(table in name for table in TABLES):
        values *= 0.5
    elif len(shape) == 1:
        values = 0.25 * values + (1.0 if name.endswith("weight") else 0.0)
    else:
        values *= values[0].numel() ** -0.5 * (0.4 if "lora" in name else 2.0 if "vision_model" in name else 1.0)
    return values.bfloat16()


class Parts(torch.nn.Module):
    """Published tensors as parameters in float32: parts["blocks.0.norm1"] is (weight, bias or None)."""

    def __init__(self, tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name.replace(".", "-"), torch.nn.Parameter(tensor.float()))

    def __getitem__(self, name):
        return getattr(self, name.replace(".", "-"))

    def linear(self, name, x):
        bias = getattr(self, f"{name}.bias".replace(".", "-"), None)
        return torch.nn.functional.linear(x, self[f"{name}.weight"], bias)

    def norm(self, name, x, eps):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], eps)


def attention(q, k, v, heads):
    """[n, tq, D], [n, tk, D] -> [n, tq, D]"""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class Processor:
    """Tokenizer and picture processor of the converted folder. A text holds one <image> for each picture."""

    def __init__(self, family, folder):
        self.family = family
        self.tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        self.image_processor = family.picture_processor(folder)

    def apply_chat_template(self, messages, **_):
        return self.family.render(self, messages)

    def __call__(self, images=None, text="", **_):
        return self.family.encode(self, text, images or [])


class Published:
    """`converter`: the script's module; `parts`: files in the published layout."""

    model_class = None
    stages = []

    def build(self, spec, folder):
        """The folder that the converter makes of this spec's parts; they stay here for load()."""
        self.made = self.parts(spec)
        if str(SCRIPTS) not in sys.path:
            sys.path.insert(0, str(SCRIPTS))
        converter = importlib.import_module(self.converter)
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            self.decoder = self._decoder(spec, scratch / "llm")
            for name, content in self.made.items():
                torch.save(content, scratch / name)
            converter.convert(argparse.Namespace(
                llm=scratch / "llm", dtype=spec.weights, out=folder, **self.arguments(spec, scratch)))

    def language(self, spec):
        """(config class, model class) of the decoder."""
        return hf.LlamaConfig, hf.LlamaForCausalLM

    def _decoder(self, spec, folder):
        """A folder of the decoder, as its users have one; returns the model."""
        import build

        tokenizer = build.bare_tokenizer(spec)
        config_class, model_class = self.language(spec)
        config = config_class(
            vocab_size=len(tokenizer), bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            **spec.text)
        model = model_class(config)
        reinitialize(model, spec.seed, build.byte_ids(tokenizer))
        model.generation_config = hf.GenerationConfig(
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
        model = model.to(torch.bfloat16)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return model

    def load(self, spec, folder):
        """(reference model in float32, processor)"""
        config = type(self.decoder.config)(**self.decoder.config.to_diff_dict())
        config._attn_implementation = "eager"
        model = self.reference(spec, config)
        model.load_state_dict(self.decoder.float().state_dict(), strict=False)
        model.generation_config = self.decoder.generation_config
        self.finish(model)
        return model, Processor(self, folder)

    def finish(self, model):
        """What the original does to the decoder's weights."""

    def positions(self, model, inputs, start, length):
        return {}

    def joined(self, model, inputs):
        return {}

    def no_effect(self, config, name):
        return False

    def pixels(self, inputs, parts):
        return inputs["pixel_values"]

    def picture_processor(self, folder):
        return hf.BlipImageProcessor.from_pretrained(folder)

    def doubled(self):
        return []
