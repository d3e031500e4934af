"""OpenFlamingo for families.py, after mlfoundations/open_flamingo (src/flamingo.py, flamingo_lm.py, helpers.py)."""

import torch
import transformers as hf

import cases
from mosaic_gpt import MosaicGpt, MosaicGptConfig, publish
from open_clip_pictures import OpenClipImageProcessor
from published import Parts, Published, attention, drawn
from weights import reinitialize

HEADS, HEAD_DIM, WIDENING = 2, 64, 4
END, IMAGE = "<|endofchunk|>", "<image>"


class Block(torch.nn.Module):
    """Gated cross-attention before a layer, and the layer."""

    def __init__(self, layer, parts):
        super().__init__()
        self.layer, self.parts = layer, Parts(parts) if parts else None

    def forward(self, x, *rest, **named):
        return self.layer(x if self.parts is None else self.crossed(x), *rest, **named)

    def crossed(self, x):
        """`seen`: of each token its picture's number, from 1 on; `pictures` [n, latents, D]."""
        parts = self.parts
        q = parts.linear("attn.to_q", parts.norm("attn.norm", x, 1e-5))
        mixed = torch.zeros_like(q)
        for number, rows in enumerate(self.pictures, start=1):
            k, v = parts.linear("attn.to_kv", rows[None]).chunk(2, dim=-1)
            looks = (self.seen == number)[None, :, None]
            mixed = torch.where(looks, attention(q, k, v, HEADS), mixed)
        x = x + torch.tanh(parts["attn_gate"]) * parts.linear("attn.to_out", mixed)
        hidden = parts.linear("ff.1", parts.norm("ff.0", x, 1e-5))
        return x + torch.tanh(parts["ff_gate"]) * parts.linear("ff.3", torch.nn.functional.gelu(hidden))


class Flamingo:
    """Beside the library's class of a decoder: its layers with blocks before them. `layers`: where they are."""

    def surround(self, tower, perceiver, blocks, depth):
        self.tower, self.perceiver, self.depth = tower, Parts(perceiver), depth
        backbone, name = self.stack()
        layers = [Block(layer, blocks.get(i)) for i, layer in enumerate(getattr(backbone, name))]
        setattr(backbone, name, torch.nn.ModuleList(layers))

    def stack(self):
        """(module, name of its list of layers)"""
        module, _, name = LAYERS[type(self).__name__].rpartition(".")
        return self.get_submodule(module), name

    def look(self, pixels):
        """[n, 3, S, S] -> [n, latents, D]"""
        rows = self.tower(pixels).last_hidden_state[:, 1:]
        parts = self.perceiver
        x = parts["latents"].expand(len(rows), -1, -1)
        for i in range(self.depth):
            p, f = f"layers.{i}.0.", f"layers.{i}.1."
            own = parts.norm(p + "norm_latents", x, 1e-5)
            seen = torch.cat([parts.norm(p + "norm_media", rows, 1e-5), own], dim=1)
            k, v = parts.linear(p + "to_kv", seen).chunk(2, dim=-1)
            x = x + parts.linear(p + "to_out", attention(parts.linear(p + "to_q", own), k, v, HEADS))
            hidden = torch.nn.functional.gelu(parts.linear(f + "1", parts.norm(f + "0", x, 1e-5)))
            x = x + parts.linear(f + "3", hidden)
        return parts.norm("norm", x, 1e-5)

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, seen=None, **rest):
        """seen: of each token the number of the picture it looks at, from 1 on; 0: none."""
        past = rest.get("past_key_values")
        if seen is None and (past is None or past.get_seq_length() == 0):
            seen = (input_ids[0] == self.config.media_token_id).cumsum(0)
            self.last = seen[-1:]
        elif seen is None:
            seen = self.last  # an answer goes on looking at the last picture
        pictures = [] if pixel_values is None else self.look(pixel_values)
        for layer in getattr(*self.stack()):
            layer.seen, layer.pictures = seen, pictures
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)


class LlamaFlamingo(Flamingo, hf.LlamaForCausalLM):
    pass


class MosaicFlamingo(Flamingo, MosaicGpt):
    pass


class NeoxFlamingo(Flamingo, hf.GPTNeoXForCausalLM):
    pass


# factory.py's decoder_layers_attr_name
LAYERS = {
    "LlamaFlamingo": "model.layers",
    "MosaicFlamingo": "transformer.blocks",
    "NeoxFlamingo": "gpt_neox.layers",
}
DECODERS = {
    "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, LlamaFlamingo),
    "mosaic_gpt": (MosaicGptConfig, MosaicGpt, MosaicFlamingo),
    "gpt_neox": (hf.GPTNeoXConfig, hf.GPTNeoXForCausalLM, NeoxFlamingo),
}


def table_of(model):
    """The embedding's name."""
    return next(name for name, p in model.named_parameters() if p is model.get_input_embeddings().weight)


class OpenFlamingo(Published):
    converter = "convert_openflamingo"
    stages = [(r"^(?:model\.layers|transformer\.blocks|gpt_neox\.layers)\.(\d+)$", "decoder.layer.{}", False)]

    def language(self, spec):
        return DECODERS[spec.decoder][:2]

    def parts(self, spec):
        config = DECODERS[spec.decoder][0](**spec.text)
        d, hidden, inner = spec.vision["hidden_size"], config.hidden_size, HEADS * HEAD_DIM
        layers = "lang_encoder." + LAYERS[DECODERS[spec.decoder][2].__name__]

        def attended(prefix, rows, width):
            return {
                prefix + "to_q.weight": (inner, width),
                prefix + "to_kv.weight": (2 * inner, rows),
                prefix + "to_out.weight": (width, inner),
            }

        def widened(prefix, width):
            return {
                prefix + "0.weight": (width,),
                prefix + "0.bias": (width,),
                prefix + "1.weight": (WIDENING * width, width),
                prefix + "3.weight": (width, WIDENING * width),
            }

        def norm(name, width):
            return {f"{name}.{kind}": (width,) for kind in ("weight", "bias")}

        shapes = {"perceiver.latents": (spec.top["latents"], d), **norm("perceiver.norm", d)}
        for i in range(spec.top["depth"]):
            p = f"perceiver.layers.{i}."
            shapes |= norm(p + "0.norm_media", d) | norm(p + "0.norm_latents", d)
            shapes |= attended(p + "0.", d, d) | widened(p + "1.", d)
        for i in range(config.num_hidden_layers):
            if (i + 1) % spec.top["every"] == 0:
                b = f"{layers}.{i}.gated_cross_attn_layer."
                shapes |= norm(b + "attn.norm", hidden) | attended(b + "attn.", d, hidden) | widened(b + "ff.", hidden)
                shapes |= {b + "attn_gate": (1,), b + "ff_gate": (1,)}
        self.own = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        self.clip = hf.CLIPVisionModel(hf.CLIPVisionConfig(**spec.vision, attn_implementation="eager"))
        reinitialize(self.clip, spec.seed)
        self.clip.to(torch.bfloat16)
        return {}  # arguments() writes them: the file holds the decoder's embeddings, too

    def arguments(self, spec, scratch):
        embedding = self.decoder.get_input_embeddings().weight.data
        tied = self.decoder.get_output_embeddings().weight is self.decoder.get_input_embeddings().weight
        more = drawn(spec.seed, "new", 3, embedding.shape[1]) * (1 if tied else embedding.shape[1] ** 0.5)
        self.own["lang_encoder." + table_of(self.decoder)] = torch.cat([embedding, more])
        if spec.decoder == "mosaic_gpt":
            publish(scratch / "llm")
        torch.save({"model_state_dict": {f"module.{n}": t for n, t in self.own.items()}}, scratch / "checkpoint.pt")
        self.clip.save_pretrained(scratch / "clip")
        return dict(checkpoint=scratch / "checkpoint.pt", clip=scratch / "clip", every=spec.top["every"])

    def reference(self, spec, config):
        self.spec = spec
        return DECODERS[spec.decoder][2](config)

    def finish(self, model):
        def below(prefix):
            return {n.removeprefix(prefix): t for n, t in self.own.items() if n.startswith(prefix)}

        embedding = self.own["lang_encoder." + table_of(model)].float()
        head = model.get_output_embeddings()
        new = len(embedding) - len(head.weight)
        rows = torch.nn.functional.pad(head.weight.data, (0, 0, 0, new))
        tied = head.weight is model.get_input_embeddings().weight
        model.set_input_embeddings(torch.nn.Embedding.from_pretrained(embedding, freeze=False))
        head.weight = model.get_input_embeddings().weight if tied else torch.nn.Parameter(rows)
        model.config.vocab_size = len(embedding)
        model.config.media_token_id = len(embedding) - 2  # between the end of a chunk and the padding
        model.generation_config.eos_token_id = len(embedding) - 3
        name = LAYERS[type(model).__name__]
        layers = range(len(model.get_submodule(name)))
        blocks = {i: below(f"lang_encoder.{name}.{i}.gated_cross_attn_layer.") for i in layers}
        model.surround(self.clip.float(), below("perceiver."), blocks, self.spec.top["depth"])

    def picture_processor(self, folder):
        return OpenClipImageProcessor.from_pretrained(folder)

    def render(self, _processor, messages):
        """The prompts of eval/models/open_flamingo.py for questions (VQA)."""
        text = ""
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            words = "".join(p["text"] for p in parts if p["type"] == "text")
            if message["role"] == "user":
                shown = IMAGE * sum(p["type"] != "text" for p in parts)
                text += f"{shown}Question:{words} Short answer:"
            else:
                text += words + (END if message["role"] == "assistant" else "")
        return text

    def encode(self, processor, text, images):
        inputs = {"input_ids": processor.tokenizer(text, return_tensors="pt")["input_ids"]}
        if images:
            inputs["pixel_values"] = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return inputs

    def picture_tokens(self, _processor, images):
        return [(1, 1) for _ in images]

    def spans(self, _ids, inputs, config):
        """[position, length, picture, 0, 0, 0, rows]: the tokens that look at a picture."""
        seen, spans = self.seen(inputs, config), []
        for position, number in enumerate(seen.tolist()):
            if number and spans and spans[-1][2] == number - 1:
                spans[-1][1] += 1
            elif number:
                spans.append([position, 1, number - 1, 0, 0, 0, self.spec.top["latents"]])
        return spans

    @staticmethod
    def seen(inputs, config):
        return (inputs["input_ids"][0] == config.media_token_id).cumsum(0)

    def positions(self, model, inputs, start, length):
        """The answer's tokens look at what the prompt's last one looks at."""
        seen = self.seen(inputs, model.config)
        later = seen[-1:].expand(max(start + length - len(seen), 0))
        whole = torch.cat([seen, later])[start : start + length]
        return {"seen": whole, "pixel_values": inputs.get("pixel_values")}

    def no_effect(self, _config, name):
        """All keys of a head share a bias; nobody reads the tower's last norm."""
        return name.startswith("tower.") and ("post_layernorm" in name or name.endswith("k_proj.bias"))


def checkpoints(make):
    tower = dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=12,
                 patch_size=4, hidden_act="quick_gelu")
    small = dict(hidden_size=12, intermediate_size=16, num_hidden_layers=1, num_attention_heads=3, image_size=8,
                 patch_size=4, hidden_act="quick_gelu")
    return [
        make(
            "openflamingo",
            "openflamingo",
            cases.few_inside_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=4, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            tower,
            top=dict(latents=4, depth=1, every=2),
            tokenizer="small_prepend",
            weights="bfloat16",
            seed=2,
        ),
        # As the 3B: a block before every layer of a decoder with biases for positions and norms of q and k.
        make(
            "openflamingo_mpt",
            "openflamingo",
            cases.few_inside_cases,
            dict(d_model=16, n_heads=4, n_layers=2, max_seq_len=256,
                 published=dict(alibi_bias_max=6, attn_clip_qkv=2.0, logit_scale=0.8)),
            small,
            top=dict(latents=3, depth=1, every=1),
            decoder="mosaic_gpt",
            tokenizer="few_bytes",
            weights="bfloat16",
            seed=4,
        ),
        # As the 4B: before every second layer of a GPT-NeoX without parallel sublayers, whose heads turn as a whole.
        make(
            "openflamingo_neox",
            "openflamingo",
            cases.few_inside_cases,
            dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                 max_position_embeddings=256, rotary_pct=1.0, use_parallel_residual=False),
            small,
            top=dict(latents=3, depth=1, every=2),
            decoder="gpt_neox",
            tokenizer="few_bytes",
            weights="bfloat16",
            seed=5,
        ),
    ]
