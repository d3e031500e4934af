"""LaVIN for families.py, after luogen1996/LaVIN (lavin/eval_model.py, mm_adapter.py, generator.py, clip/model.py)."""

import argparse

import torch
import transformers as hf

import cases
from published import Parts, Published, drawn
from weights import reinitialize

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
INTERVAL, GROUPS, PICTURE = 4, 2, 0
TEMPERATURE, SCALE = 2.0, 0.5


def routed(parts, p, x, weights=None):
    """RepAdapter_Router.forward: x [n, t, D]; the router reads the first of the t, its weights [n, 2] are of all of
    them."""
    if weights is None:
        weights = torch.softmax(parts.linear(p + "expert_weights", x[:, 0]) / TEMPERATURE, -1)
    convolve = torch.nn.functional.conv1d
    x = x.transpose(1, 2)
    narrow = convolve(x, parts[p + "conv_A.weight"], parts[p + "conv_A.bias"])
    for expert, name in enumerate(("conv_B", "conv_D")):
        wide = convolve(narrow, parts[f"{p}{name}.weight"], parts[f"{p}{name}.bias"], groups=GROUPS)
        x = x + wide * SCALE * weights[:, expert, None, None]
    return x.transpose(1, 2)


class Layer(torch.nn.Module):
    """A LLaMA layer behind an adapter; `state` goes from layer to layer: the modality's row, the length of the
    prompt."""

    def __init__(self, number, layer, heads, parts, state):
        super().__init__()
        self.number, self.layer, self.heads, self.parts, self.state = number, layer, heads, Parts(parts), state

    def turned(self, x, positions):
        """[1, t, heads * d] -> [1, heads, t, d]"""
        x = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        half = x.shape[-1] // 2
        angles = positions[:, None].float() / 10000.0 ** (torch.arange(half).float() / half)
        first, second = x.split(half, dim=-1)
        return torch.cat([first * angles.cos() - second * angles.sin(),
                          second * angles.cos() + first * angles.sin()], -1)

    def attend(self, y, positions, mask, past):
        own = self.layer.self_attn
        q, k = (self.turned(projection(y), positions) for projection in (own.q_proj, own.k_proj))
        v = own.v_proj(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if mask is None:
            k, v = past.update(k, v, self.number)
            mask = torch.zeros(q.shape[2], k.shape[2]) + self.behind(q.shape[2], k.shape[2])
        else:
            past.update(k[:, :, 1:], v[:, :, 1:], self.number)  # the modality's stay out of the cache
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + mask
        return own.o_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    @staticmethod
    def behind(rows, columns):
        return torch.full((rows, columns), float("-inf")).triu(columns - rows + 1)

    def forward(self, x, position_ids=None, past_key_values=None, **_):
        """The prompt comes at once, behind the row of its modality; then token by token."""
        start, mask = past_key_values.get_seq_length(self.number), None
        places = position_ids[0]
        # generator.py: the modality's row is number 0 of the prompt; the answer's rows are counted without it.
        positions = torch.where(places < self.state.prompt_length, places + 1, places)
        if start == 0:
            x, positions = torch.cat([self.state.row, x], dim=1), torch.cat([torch.zeros(1).long(), positions])
            mask = self.behind(x.shape[1], x.shape[1])
            mask[1:, 0] = float("-inf")
        y = self.layer.input_layernorm(x)
        if start == 0:
            router = torch.softmax(self.parts.linear("expert_weights", y[:, 0]) / TEMPERATURE, -1)
            self.weights = router.bfloat16().float()  # rounded as the folder stores it; the original rounds to halves
        x = x + self.attend(routed(self.parts, "", y, self.weights), positions, mask, past_key_values)
        x = x + self.layer.mlp(self.layer.post_attention_layernorm(x))
        if start == 0:
            self.state.row, x = x[:, :1], x[:, 1:]
        return x


class LavinReference(hf.LlamaForCausalLM):
    def surround(self, clip, own):
        self.clip, self.own, self.state = clip, Parts(own), argparse.Namespace()
        self.connector = torch.nn.Identity()

    def look(self, pixels):
        """[n, 3, S, S] -> [n, tokens, H]"""
        tower, rows = self.clip.vision_model, []
        x = tower.pre_layrnorm(tower.embeddings(pixels))
        for i, block in enumerate(tower.encoder.layers):
            # Positions come first there, so that each one is routed by itself, by the first picture's row.
            y = routed(self.own, f"tower.{i}.", block.layer_norm1(x).transpose(0, 1)).transpose(0, 1)
            x = x + block.self_attn(y)[0]
            x = x + block.mlp(block.layer_norm2(x))
            if (i + 1) % INTERVAL == 0:
                rows.append(x[:, :1])
        hidden = torch.nn.functional.silu(self.own.linear("adapter_proj.conv_A", torch.cat(rows, dim=1)))
        return self.connector(self.own.linear("adapter_proj.conv_B", hidden))

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, prompt_length=None, **rest):
        past = rest.get("past_key_values")
        begins = past is None or past.get_seq_length() == 0
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if pixel_values is not None and begins:
                shown = (input_ids == PICTURE)[..., None]
                inputs_embeds = inputs_embeds.masked_scatter(shown, self.look(pixel_values))
        if begins:
            kind = 0 if pixel_values is None else 1
            self.state.row = self.own["adapter_modality_embedding.weight"][kind].view(1, 1, -1)
            self.state.prompt_length = inputs_embeds.shape[1] if prompt_length is None else prompt_length
        rest["use_cache"] = True
        return super().forward(inputs_embeds=inputs_embeds, **rest)


class Lavin(Published):
    converter = "convert_lavin"
    stages = [(r"^model\.layers\.(\d+)$", "decoder.layer.{}", False), (r"^connector$", "connector", False)]

    def parts(self, spec):
        hidden, width, r = spec.text["hidden_size"], spec.vision["hidden_size"], spec.top["rank"]

        def linear(name, out, into, *kernel):
            return {f"{name}.weight": (out, into, *kernel), f"{name}.bias": (out,)}

        def adapter(p, d):
            experts = linear(p + "conv_B", d, r // GROUPS, 1) | linear(p + "conv_D", d, r // GROUPS, 1)
            return linear(p + "conv_A", r, d, 1) | experts | linear(p + "expert_weights", 2, d)

        shapes = {"adapter_modality_embedding.weight": (2, hidden)}
        shapes |= linear("adapter_proj.conv_A", spec.top["inner"], width)
        shapes |= linear("adapter_proj.conv_B", hidden, spec.top["inner"])
        for i in range(spec.text["num_hidden_layers"]):
            shapes |= adapter(f"layers.{i}.adapter_attn.", hidden)
        for i in range(spec.vision["num_hidden_layers"]):
            shapes |= adapter(f"backbone.visual.transformer.resblocks.{i}.adapter_attn.", width)
        self.tuned = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        for name in self.tuned:
            if "expert_weights" in name or "modality" in name:  # so that the two modalities' routes differ
                self.tuned[name] = self.tuned[name] * 4
        self.clip = hf.CLIPVisionModel(hf.CLIPVisionConfig(**spec.vision, attn_implementation="eager"))
        reinitialize(self.clip, spec.seed)
        self.clip.to(torch.bfloat16)
        arguments = argparse.Namespace(temperature=TEMPERATURE, adapter_scale=SCALE, use_vicuna=False)
        return {"adapter.pth": {"model": {f"module.{n}": t for n, t in self.tuned.items()}, "args": arguments}}

    def arguments(self, spec, scratch):
        self.clip.save_pretrained(scratch / "clip")
        return dict(checkpoint=scratch / "adapter.pth", clip=scratch / "clip", delta=None, temperature=None, scale=None)

    def reference(self, spec, config):
        self.spec = spec
        config.image_token_index = PICTURE
        return LavinReference(config)

    def finish(self, model):
        def below(prefix):
            return {n.removeprefix(prefix): t for n, t in self.tuned.items() if n.startswith(prefix)}

        own = {n: t for n, t in self.tuned.items() if n.startswith("adapter_")}
        for name, tensor in below("backbone.visual.transformer.resblocks.").items():
            own["tower." + name.replace("adapter_attn.", "")] = tensor
        model.surround(self.clip.float(), own)
        heads = model.config.num_attention_heads
        model.model.layers = torch.nn.ModuleList(
            Layer(i, layer, heads, below(f"layers.{i}.adapter_attn."), model.state)
            for i, layer in enumerate(model.model.layers))

    def picture_processor(self, _folder):
        side = self.spec.vision["image_size"]
        return hf.BlipImageProcessor(size={"height": side, "width": side}, image_mean=MEAN, image_std=STD)

    def render(self, _processor, messages):
        """eval_mme.py's question behind the prefixes of generator.py."""
        [message] = messages
        content = message["content"]
        words = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
        prefix = "Image: N/A " if isinstance(content, str) else "Image: <image>"
        return f"{prefix}Instruction: {words}\nResponse:"

    def encode(self, processor, text, images):
        """Prefix and question are tokenised one by one."""
        tokenizer = processor.tokenizer
        prefix, question = text.split("<image>") if images else ("Image: N/A", text.removeprefix("Image: N/A "))
        ids = tokenizer(prefix)["input_ids"] + [PICTURE] * (self.tokens * len(images))
        ids += tokenizer(question, add_special_tokens=False)["input_ids"]
        inputs = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return inputs

    def picture_tokens(self, _processor, images):
        return [(1, self.tokens) for _ in images]

    @property
    def tokens(self):
        return self.spec.vision["num_hidden_layers"] // INTERVAL

    def positions(self, _model, inputs, start, _length):
        """Of a pass over embeddings: whether they begin with a picture, and where the answer begins."""
        if start > 0:
            return {}
        return {"pixel_values": inputs.get("pixel_values"), "prompt_length": inputs["input_ids"].shape[1]}

    def no_effect(self, _config, name):
        """All keys of a head share a bias; nobody reads the tower's last norm."""
        return name.startswith("clip.") and ("post_layernorm" in name or name.endswith("k_proj.bias"))


def checkpoints(make):
    return [
        make(
            "lavin",
            "lavin",
            cases.single_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            dict(hidden_size=8, intermediate_size=14, num_hidden_layers=8, num_attention_heads=2, image_size=12,
                 patch_size=4, hidden_act="quick_gelu"),
            top=dict(rank=4, inner=10),
            tokenizer="small_prepend",
            weights="bfloat16",
            seed=9,  # text and pictures take other experts in both layers
        ),
    ]
