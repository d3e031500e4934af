"""OpenFlamingo for families.py, after mlfoundations/open_flamingo (src/flamingo.py, flamingo_lm.py, helpers.py)."""

import torch
import transformers as hf

import cases
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


class FlamingoReference(hf.LlamaForCausalLM):
    def surround(self, tower, perceiver, blocks, depth):
        self.tower, self.perceiver, self.depth = tower, Parts(perceiver), depth
        layers = [Block(layer, blocks.get(i)) for i, layer in enumerate(self.model.layers)]
        self.model.layers = torch.nn.ModuleList(layers)

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
        for layer in self.model.layers:
            layer.seen, layer.pictures = seen, pictures
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)


class OpenFlamingo(Published):
    converter = "convert_openflamingo"
    stages = [(r"^model\.layers\.(\d+)$", "decoder.layer.{}", False)]

    def parts(self, spec):
        d, hidden, inner = spec.vision["hidden_size"], spec.text["hidden_size"], HEADS * HEAD_DIM

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
        for i in range(spec.text["num_hidden_layers"]):
            if (i + 1) % spec.top["every"] == 0:
                b = f"lang_encoder.model.layers.{i}.gated_cross_attn_layer."
                shapes |= norm(b + "attn.norm", hidden) | attended(b + "attn.", d, hidden) | widened(b + "ff.", hidden)
                shapes |= {b + "attn_gate": (1,), b + "ff_gate": (1,)}
        self.own = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        self.clip = hf.CLIPVisionModel(hf.CLIPVisionConfig(**spec.vision, attn_implementation="eager"))
        reinitialize(self.clip, spec.seed)
        self.clip.to(torch.bfloat16)
        return {}  # arguments() writes them: the file holds the decoder's embeddings, too

    def arguments(self, spec, scratch):
        embedding = self.decoder.model.embed_tokens.weight.data
        more = drawn(spec.seed, "new", 3, embedding.shape[1]) * embedding.shape[1] ** 0.5
        self.own["lang_encoder.model.embed_tokens.weight"] = torch.cat([embedding, more])
        torch.save({"model_state_dict": {f"module.{n}": t for n, t in self.own.items()}}, scratch / "checkpoint.pt")
        self.clip.save_pretrained(scratch / "clip")
        return dict(checkpoint=scratch / "checkpoint.pt", clip=scratch / "clip", every=spec.top["every"])

    def reference(self, spec, config):
        self.spec = spec
        return FlamingoReference(config)

    def finish(self, model):
        def below(prefix):
            return {n.removeprefix(prefix): t for n, t in self.own.items() if n.startswith(prefix)}

        embedding = self.own["lang_encoder.model.embed_tokens.weight"].float()
        new = len(embedding) - len(model.lm_head.weight)
        model.model.embed_tokens = torch.nn.Embedding.from_pretrained(embedding, freeze=False)
        model.lm_head.weight = torch.nn.Parameter(torch.nn.functional.pad(model.lm_head.weight.data, (0, 0, 0, new)))
        model.config.vocab_size = len(embedding)
        model.config.media_token_id = len(embedding) - 2  # between the end of a chunk and the padding
        model.generation_config.eos_token_id = len(embedding) - 3
        layers = range(len(model.model.layers))
        blocks = {i: below(f"lang_encoder.model.layers.{i}.gated_cross_attn_layer.") for i in layers}
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
    return [
        make(
            "openflamingo",
            "openflamingo",
            cases.few_inside_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=4, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=12,
                 patch_size=4, hidden_act="quick_gelu"),
            top=dict(latents=4, depth=1, every=2),
            tokenizer="small_prepend",
            weights="bfloat16",
            seed=2,
        ),
    ]
