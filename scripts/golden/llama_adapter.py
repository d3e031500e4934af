"""LLaMA-Adapter V2 for families.py, after OpenGVLab/LLaMA-Adapter (llama_adapter_v2_multimodal7b/llama)."""

import numpy as np
import torch
import transformers as hf
from PIL import Image

import cases
from open_clip_pictures import OpenClipImageProcessor
from published import Parts, Published, attention, drawn
from weights import reinitialize

PROJECTIONS = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj",
               "attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj",
               "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
               "feed_forward.w3": "mlp.up_proj"}


def interleaved(weight, heads):
    """Rows of q or k in Meta's order: each pair that turns together stands side by side."""
    halves = weight.unflatten(0, (heads, 2, -1))
    return halves.transpose(1, 2).flatten(0, 2)


class Layer(torch.nn.Module):
    """One of Meta's LLaMA layers with biases, LoRA and prompts; `tuned`: its published tensors."""

    def __init__(self, number, layer, heads, eps, tuned):
        super().__init__()
        self.number, self.heads, self.eps, self.prompt = number, heads, eps, None
        base = {n: layer.get_parameter(f"{new}.weight").data for n, new in PROJECTIONS.items()}
        for name in ("attention.wq", "attention.wk"):
            base[name] = interleaved(base[name], heads)
        self.parts = Parts({f"{n}.weight": w for n, w in base.items()} | tuned)

    def project(self, name, x):
        """With the sum of weight and LoRA rounded as the folder stores it."""
        weight = self.parts[f"{name}.weight"]
        down, up = (self.parts[f"{name.replace('.w', '.lora_w')}_l{i}.weight"] for i in (1, 2))
        weight = (weight + up @ down).bfloat16().float()
        bias = getattr(self.parts, f"{name}.bias".replace(".", "-"), None)
        return torch.nn.functional.linear(x, weight, bias)

    def norm(self, name, x):
        return self.parts[f"{name}.weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))

    def turned(self, x, positions):
        """[1, t, heads * d] -> [1, heads, t, d]"""
        x = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        d = x.shape[-1]
        angles = positions[:, None].float() / 10000.0 ** (torch.arange(0, d, 2).float() / d)
        pairs = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)

    def attend(self, y, mask, positions, past):
        q = self.turned(self.project("attention.wq", y), positions)
        k = self.turned(self.project("attention.wk", y), positions)
        v = self.project("attention.wv", y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if past is not None:
            k, v = past.update(k, v, self.number)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        scores = scores if mask is None else scores + mask[..., : k.shape[2]]
        mixed = scores.softmax(-1) @ v
        if self.prompt is not None:  # [queries, H], seen through the layer's own matrices without their LoRA
            own = (self.parts[f"attention.{n}.weight"] for n in ("wk", "wv"))
            k, v = ((self.prompt @ w.T).unflatten(-1, (self.heads, -1)).transpose(0, 1)[None] for w in own)
            seen = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
            gates = torch.tanh(self.parts["attention.gate"]) * self.parts["attention.new_gate"]
            mixed = mixed + gates * (seen @ v)
        return self.project("attention.wo", mixed.transpose(1, 2).flatten(2))

    def forward(self, x, attention_mask=None, position_ids=None, past_key_values=None, **_):
        y = self.norm("attention_norm", x)
        x = x + self.attend(y, attention_mask, position_ids[0], past_key_values)
        y = self.norm("ffn_norm", x)
        gate = torch.nn.functional.silu(self.project("feed_forward.w1", y))
        return x + self.project("feed_forward.w2", gate * self.project("feed_forward.w3", y))


class AdapterReference(hf.LlamaForCausalLM):
    def look(self, pixels):
        """[1, 3, S, S] -> [queries, H]; blue comes first."""
        eyes = self.eyes
        rows = self.clip.vision_model(pixels).last_hidden_state
        rows = self.clip.visual_projection(self.clip.vision_model.post_layernorm(rows))
        rows = eyes.norm("clip_proj_norm", eyes.linear("clip_proj", rows), 1e-5)
        x = torch.cat([eyes["visual_query.weight"][None], rows], dim=1)
        for i in range(self.blocks):
            b = f"visual_blocks.{i}."
            q, k, v = eyes.linear(b + "attn.qkv", eyes.norm(b + "norm1", x, 1e-5)).chunk(3, dim=-1)
            x = x + eyes.linear(b + "attn.proj", attention(q, k, v, 1))
            hidden = torch.nn.functional.gelu(eyes.linear(b + "mlp.fc1", eyes.norm(b + "norm2", x, 1e-5)))
            x = x + eyes.linear(b + "mlp.fc2", hidden)
        x = x[0, : len(eyes["visual_query.weight"])]
        return eyes.norm("visual_proj_norm", eyes.linear("visual_proj", x), 1e-5)

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, **rest):
        if pixel_values is None:  # as the original was tuned on text alone
            side = self.clip.config.image_size
            pixel_values = torch.zeros(1, 3, side, side, dtype=self.dtype)
        seen, prompts = self.look(pixel_values), self.eyes["adapter_query.weight"].split(self.queries)
        for layer, prompt in zip(list(self.model.layers)[-len(prompts) :], prompts):
            layer.prompt = prompt + seen
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)


class LlamaAdapter(Published):
    converter = "convert_llama_adapter"
    stages = [(r"^model\.layers\.(\d+)$", "decoder.layer.{}", False)]

    def parts(self, spec):
        hidden, m = spec.text["hidden_size"], spec.text["intermediate_size"]
        d, blocks, queries, r = (spec.top[n] for n in ("width", "blocks", "queries", "lora_r"))
        joint = spec.top["joint"]

        def linear(name, out, into):
            return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}

        def norm(name, width):
            return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

        shapes = linear("clip_proj", d, joint) | norm("clip_proj_norm", d) | {"visual_query.weight": (queries, d)}
        for i in range(blocks):
            b = f"visual_blocks.{i}."
            shapes |= norm(b + "norm1", d) | norm(b + "norm2", d) | linear(b + "attn.qkv", 3 * d, d)
            shapes |= linear(b + "attn.proj", d, d) | linear(b + "mlp.fc1", 2 * d, d) | linear(b + "mlp.fc2", d, 2 * d)
        shapes |= linear("visual_proj", hidden, d) | norm("visual_proj_norm", hidden)
        shapes |= {"adapter_query.weight": (queries * spec.top["layers"], hidden), "llama.norm.weight": (hidden,)}
        heads = spec.text["num_attention_heads"]
        for i in range(spec.text["num_hidden_layers"]):
            p = f"llama.layers.{i}."
            shapes |= {p + "attention.gate": (1, heads, 1, 1), p + "attention.new_gate": (1, 1, 1, 1)}
            shapes |= {p + n: (hidden,) for n in ("attention_norm.weight", "ffn_norm.weight")}
            shapes |= {p + f"attention.{n}.bias": (hidden,) for n in ("wq", "wo")}
            shapes |= {p + f"feed_forward.{n}.bias": (w,) for n, w in (("w1", m), ("w2", hidden), ("w3", m))}
            for n in ("wq", "wk", "wv", "wo"):
                lora = p + f"attention.lora_{n}_l"
                shapes |= {lora + "1.weight": (r, hidden), lora + "2.weight": (hidden, r)}
            for n, out, into in (("w1", m, hidden), ("w2", hidden, m), ("w3", m, hidden)):
                lora = p + f"feed_forward.lora_{n}_l"
                shapes |= {lora + "1.weight": (r, into), lora + "2.weight": (out, r)}
        self.own = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        vision = hf.CLIPVisionConfig(**spec.vision, projection_dim=joint, attn_implementation="eager")
        self.clip = hf.CLIPVisionModelWithProjection(vision)
        reinitialize(self.clip, spec.seed)
        self.clip.to(torch.bfloat16)
        config = {"w_bias": True, "w_lora": True, "lora_rank": r}
        return {"adapter.pth": {"model": self.own, "config": config}}

    def arguments(self, spec, scratch):
        self.clip.save_pretrained(scratch / "clip")
        return dict(checkpoint=scratch / "adapter.pth", clip=scratch / "clip")

    def reference(self, spec, config):
        self.spec = spec
        return AdapterReference(config)

    def finish(self, model):
        top, config = self.spec.top, model.config
        model.clip, model.blocks, model.queries = self.clip.float(), top["blocks"], top["queries"]
        model.eyes = Parts({n: t for n, t in self.own.items() if not n.startswith("llama.")})
        model.model.norm.weight.data = self.own["llama.norm.weight"].float()
        layers = []
        for i, layer in enumerate(model.model.layers):
            prefix = f"llama.layers.{i}."
            tuned = {n.removeprefix(prefix): t for n, t in self.own.items() if n.startswith(prefix)}
            layers.append(Layer(i, layer, config.num_attention_heads, config.rms_norm_eps, tuned))
        model.model.layers = torch.nn.ModuleList(layers)

    def picture_processor(self, folder):
        """Of the original, not of the folder, which takes the channels the other way round."""
        side = self.spec.vision["image_size"]
        return OpenClipImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, resample=3)

    def pixels(self, inputs, _parts):
        return inputs["pixel_values"].flip(1)

    def render(self, _processor, messages):
        """llama/utils.py: one instruction without input."""
        [message] = messages
        content = message["content"]
        words = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
        return ("Below is an instruction that describes a task. Write a response that appropriately "
                "completes the request."
                f"\n\n### Instruction:\n{words}\n\n### Response:")

    def encode(self, processor, text, images):
        inputs = {"input_ids": processor.tokenizer(text, return_tensors="pt")["input_ids"]}
        if images:
            flipped = [Image.fromarray(np.asarray(image)[..., ::-1].copy()) for image in images]
            inputs["pixel_values"] = processor.image_processor(flipped, return_tensors="pt")["pixel_values"]
        return inputs

    def picture_tokens(self, _processor, images):
        return [(1, self.spec.top["queries"]) for _ in images]

    def spans(self, ids, inputs, _config):
        """[position, length, picture, 0, 0, 0, rows]: every token looks at the picture."""
        return [[0, len(ids), 0, 0, 0, 0, self.spec.top["queries"]]] if "pixel_values" in inputs else []

    def positions(self, _model, inputs, _start, _length):
        return {"pixel_values": inputs.get("pixel_values")}

    def no_effect(self, config, name):
        """Keys of the tower share a bias; the first layers have gates but no prompts; of qkv the middle third, too."""
        first = config.num_hidden_layers - self.spec.top["layers"]
        unused = [f"model.layers.{i}.parts.attention-{n}gate" for i in range(first) for n in ("", "new_")]
        return name in unused or (name.startswith("clip.") and name.endswith("k_proj.bias"))


def checkpoints(make):
    return [
        make(
            "llama_adapter",
            "llama_adapter",
            cases.single_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=3, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            dict(hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3, image_size=12,
                 patch_size=4, hidden_act="quick_gelu"),
            top=dict(width=14, blocks=2, queries=3, layers=2, joint=10, lora_r=2),
            tokenizer="small_prepend",
            weights="bfloat16",
        ),
    ]
