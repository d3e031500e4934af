"""MiniGPT-v2 for families.py, after Vision-CAIR/MiniGPT-4 (models/minigpt_v2.py, minigpt_base.py, eva_vit.py)."""

import torch
import transformers as hf

import cases
from published import Parts, Published, attention, drawn

ALPHA = 16


class MiniGptReference(hf.LlamaForCausalLM):
    def __init__(self, config, spec, tower, projector):
        super().__init__(config)
        self.vision, self.heads = spec.vision, spec.vision["num_attention_heads"]
        self.tower = Parts(tower)
        self.projector = torch.nn.Linear(*projector["llama_proj.weight"].shape[::-1])
        self.projector.load_state_dict({n.removeprefix("llama_proj."): t.float() for n, t in projector.items()})

    def look(self, pixels):
        """[n, 3, S, S] -> [n, patches / 4, H]"""
        tower, p = self.tower, self.vision["patch_size"]
        x = torch.nn.functional.conv2d(pixels, tower["patch_embed.proj.weight"], tower["patch_embed.proj.bias"],
                                       stride=p)
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([tower["cls_token"].expand(len(x), 1, -1), x], dim=1) + tower["pos_embed"]
        for i in range(self.vision["num_hidden_layers"]):
            b = f"blocks.{i}."
            q, k, v = (tower.norm(b + "norm1", x, 1e-6) @ tower[b + "attn.qkv.weight"].T).chunk(3, dim=-1)
            mixed = attention(q + tower[b + "attn.q_bias"], k, v + tower[b + "attn.v_bias"], self.heads)
            x = x + tower.linear(b + "attn.proj", mixed)
            hidden = torch.nn.functional.gelu(tower.linear(b + "mlp.fc1", tower.norm(b + "norm2", x, 1e-6)))
            x = x + tower.linear(b + "mlp.fc2", hidden)
        x = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-5)[:, 1:]  # a norm nobody trained; no class token
        return self.projector(x.reshape(len(x), x.shape[1] // 4, -1))

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, **rest):
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            shown = (input_ids == self.config.image_token_index)[..., None]
            past = rest.get("past_key_values")
            if pixel_values is not None and (past is None or past.get_seq_length() == 0):
                inputs_embeds = inputs_embeds.masked_scatter(shown, self.look(pixel_values))
        return super().forward(inputs_embeds=inputs_embeds, **rest)


class MiniGptV2(Published):
    converter = "convert_minigpt_v2"
    stages = [(r"^model\.layers\.(\d+)$", "decoder.layer.{}", False), (r"^projector$", "connector", False)]

    def parts(self, spec):
        vision, hidden = spec.vision, spec.text["hidden_size"]
        d, p, m = vision["hidden_size"], vision["patch_size"], vision["intermediate_size"]
        side = spec.top["first_image_size"] // p  # of EVA's file, whose positions the model stretches
        shapes = {
            "cls_token": (1, 1, d),
            "pos_embed": (1, side * side + 1, d),
            "patch_embed.proj.weight": (d, 3, p, p),
            "patch_embed.proj.bias": (d,),
        }
        for i in range(vision["num_hidden_layers"]):
            b = f"blocks.{i}."
            shapes |= {b + f"norm{n}.{kind}": (d,) for n in (1, 2) for kind in ("weight", "bias")}
            shapes |= {
                b + "attn.qkv.weight": (3 * d, d),
                b + "attn.q_bias": (d,),
                b + "attn.v_bias": (d,),
                b + "attn.proj.weight": (d, d),
                b + "attn.proj.bias": (d,),
                b + "mlp.fc1.weight": (m, d),
                b + "mlp.fc1.bias": (m,),
                b + "mlp.fc2.weight": (d, m),
                b + "mlp.fc2.bias": (d,),
            }
        own = {"llama_proj.weight": (hidden, 4 * d), "llama_proj.bias": (hidden,)}
        for i in range(spec.text["num_hidden_layers"]):
            for name in ("q_proj", "v_proj"):
                lora = f"llama_model.base_model.model.model.layers.{i}.self_attn.{name}.lora_"
                own |= {lora + "A.weight": (spec.top["lora_r"], hidden),
                        lora + "B.weight": (hidden, spec.top["lora_r"])}
        tower = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        self.tower = dict(tower, pos_embed=self._stretched(tower["pos_embed"], vision["image_size"] // p))
        return {"minigptv2.pth": {"model": {n: drawn(spec.seed, n, *s) for n, s in own.items()}}, "eva.pth": tower}

    @staticmethod
    def _stretched(table, side):
        """The table for side x side patches, rounded as the folder stores it."""
        old = int((table.shape[1] - 1) ** 0.5)
        grid = table[0, 1:].float().view(old, old, -1).permute(2, 0, 1)[None]
        grid = torch.nn.functional.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
        return torch.cat([table[:, :1].float(), grid.flatten(2).transpose(1, 2)], dim=1).bfloat16()

    def arguments(self, spec, scratch):
        return dict(checkpoint=scratch / "minigptv2.pth", vit=scratch / "eva.pth", lora_alpha=ALPHA,
                    image_size=spec.vision["image_size"])

    def reference(self, spec, config):
        config.image_token_index = 0
        own = self.made["minigptv2.pth"]["model"]
        model = MiniGptReference(
            config, spec, self.tower, {n: t for n, t in own.items() if n.startswith("llama_proj")})
        self.lora = {n: t.float() for n, t in own.items() if ".lora_" in n}
        return model

    def finish(self, model):
        for name, down in self.lora.items():
            if "lora_A" in name:
                weight = model.get_parameter(name.removeprefix("llama_model.base_model.model.").replace("lora_A.", ""))
                change = ALPHA / len(down) * (self.lora[name.replace("lora_A", "lora_B")] @ down)
                weight.data = (weight.data + change).bfloat16().float()

    def render(self, _processor, messages):
        """conversation.py's minigptv2; its evaluation adds one more begin token."""
        text = ""
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            words = "".join(p["text"] for p in parts if p["type"] == "text")
            if message["role"] != "user":
                text += words
                continue
            shown = ["<Img><image></Img>" for p in parts if p["type"] != "text"]
            text += "<s>[INST] " + " ".join([*shown, words]) + " [/INST]"
        return text

    def encode(self, processor, text, images):
        """Each piece between pictures is tokenised by itself, the first with a begin token."""
        tokenizer, ids = processor.tokenizer, []
        for i, piece in enumerate(text.split("<image>")):
            ids += [0] * self.tokens if i > 0 else []
            ids += tokenizer(piece, add_special_tokens=i == 0)["input_ids"]
        inputs = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return inputs

    def picture_tokens(self, _processor, images):
        return [(1, self.tokens) for _ in images]

    @property
    def tokens(self):
        return (self.tower["pos_embed"].shape[1] - 1) // 4


def checkpoints(make):
    return [
        make(
            "minigpt_v2",
            "minigpt_v2",
            cases.few_llava_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            dict(hidden_size=20, intermediate_size=36, num_hidden_layers=2, num_attention_heads=1, image_size=12,
                 patch_size=3),
            top=dict(first_image_size=9, lora_r=3),
            tokenizer="small_prepend",
            weights="bfloat16",
        ),
    ]
