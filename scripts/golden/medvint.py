"""MedVInT-TD for families.py, after xiaoman-zhang/PMC-VQA (MedVInT_TD/models: QA_model.py, blocks.py,
transformer.py)."""

import torch
import transformers as hf

import cases
from published import Parts, Published, attention, drawn

ALPHA, HEADS, PICTURE = 32, 8, 0
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class MedvintReference(hf.LlamaForCausalLM):
    def surround(self, parts, spec):
        self.parts, self.spec = Parts(parts), spec

    def conv(self, name, norm, x, stride=1):
        """Convolution and batch norm, rounded together as the folder stores them."""
        gamma, beta, mean, variance = (
            self.parts[f"{norm}.{n}"] for n in ("weight", "bias", "running_mean", "running_var"))
        scale = gamma / torch.sqrt(variance + 1e-5)
        weight = (self.parts[f"{name}.weight"] * scale[:, None, None, None]).bfloat16().float()
        bias = (beta - mean * scale).bfloat16().float()
        return torch.nn.functional.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def tower(self, x):
        """The children of CLIP's ResNet by their numbers: [n, 3, S, S] -> [n, C, S / 16, S / 16]"""
        relu, mean = torch.relu, torch.nn.functional.avg_pool2d
        for i, stride in ((0, 2), (3, 1), (6, 1)):
            x = relu(self.conv(f"vision_model.{i}", f"vision_model.{i + 1}", x, stride))
        x = mean(x, 2)
        for stage, blocks in enumerate(self.spec.vision["layers"]):
            for i in range(blocks):
                p, halves = f"vision_model.{10 + stage}.{i}.", stage > 0 and i == 0
                y = relu(self.conv(p + "conv1", p + "bn1", x))
                y = relu(self.conv(p + "conv2", p + "bn2", y))
                y = self.conv(p + "conv3", p + "bn3", mean(y, 2) if halves else y)
                if i == 0:
                    x = self.conv(p + "downsample.0", p + "downsample.1", mean(x, 2) if halves else x)
                x = relu(x + y)
        return x

    def look(self, pixels):
        """[1, 3, S, S] -> [queries, H]"""
        parts, functional = self.parts, torch.nn.functional
        seen = self.tower(pixels).flatten(2).transpose(1, 2)
        x = parts["query_embed.weight"][None]

        def mixed(p, q, k, v):
            """torch.nn.MultiheadAttention"""
            weights, biases = (parts[f"{p}.in_proj_{kind}"].chunk(3) for kind in ("weight", "bias"))
            q, k, v = (functional.linear(t, w, b) for t, w, b in zip((q, k, v), weights, biases))
            return parts.linear(f"{p}.out_proj", attention(q, k, v, HEADS))

        for i in range(self.spec.top["layers"]):
            p = f"decoder.layers.{i}."
            y = parts.norm(p + "norm1", x, 1e-5)
            x = x + mixed(p + "self_attn", y, y, y)
            x = x + mixed(p + "multihead_attn", parts.norm(p + "norm2", x, 1e-5), seen, seen)
            hidden = torch.relu(parts.linear(p + "linear1", parts.norm(p + "norm3", x, 1e-5)))
            x = x + parts.linear(p + "linear2", hidden)
        x = parts.norm("decoder.norm", x, 1e-5)
        return self.connector(parts.linear("fc_l2", torch.relu(parts.linear("fc_l1", x))))

    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, **rest):
        past = rest.get("past_key_values")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if pixel_values is not None and (past is None or past.get_seq_length() == 0):
                rows = self.look(pixel_values)
                inputs_embeds = torch.cat([rows, inputs_embeds[:, rows.shape[1] :]], dim=1)
        return super().forward(inputs_embeds=inputs_embeds, **rest)


class Medvint(Published):
    converter = "convert_medvint"
    stages = [(r"^model\.layers\.(\d+)$", "decoder.layer.{}", False), (r"^connector$", "connector", False)]

    def parts(self, spec):
        width, hidden = spec.vision["width"], spec.text["hidden_size"]

        def conv(name, norm, out, into, kernel):
            norms = {f"{norm}.{kind}": (out,) for kind in ("weight", "bias", "running_mean", "running_var")}
            return {f"{name}.weight": (out, into, kernel, kernel), **norms}

        shapes = conv("vision_model.0", "vision_model.1", width // 2, 3, 3)
        shapes |= conv("vision_model.3", "vision_model.4", width // 2, width // 2, 3)
        shapes |= conv("vision_model.6", "vision_model.7", width, width // 2, 3)
        into = width
        for stage, blocks in enumerate(spec.vision["layers"]):
            planes = width << stage
            for i in range(blocks):
                p = f"vision_model.{10 + stage}.{i}."
                shapes |= conv(p + "conv1", p + "bn1", planes, into, 1)
                shapes |= conv(p + "conv2", p + "bn2", planes, planes, 3)
                shapes |= conv(p + "conv3", p + "bn3", 4 * planes, planes, 1)
                if i == 0:
                    shapes |= conv(p + "downsample.0", p + "downsample.1", 4 * planes, into, 1)
                into = 4 * planes
        d, m = into, spec.top["intermediate"]
        shapes |= {"query_embed.weight": (spec.top["queries"], d)}

        def linear(name, out, width):
            return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}

        def norm(name):
            return {f"{name}.weight": (d,), f"{name}.bias": (d,)}

        for i in range(spec.top["layers"]):
            p = f"decoder.layers.{i}."
            for name in ("self_attn", "multihead_attn"):
                shapes |= {f"{p}{name}.in_proj_weight": (3 * d, d), f"{p}{name}.in_proj_bias": (3 * d,)}
                shapes |= linear(f"{p}{name}.out_proj", d, d)
            shapes |= linear(p + "linear1", m, d) | linear(p + "linear2", d, m)
            shapes |= norm(p + "norm1") | norm(p + "norm2") | norm(p + "norm3")
        shapes |= norm("decoder.norm") | linear("fc_l1", d, d) | linear("fc_l2", hidden, d)
        self.own = {name: drawn(spec.seed, name, *shape) for name, shape in shapes.items()}
        for name in self.own:
            if name.endswith("running_var"):
                self.own[name] = self.own[name].abs() + 0.5
        self.lora = {}
        for i in range(spec.text["num_hidden_layers"]):
            for name in ("q_proj", "v_proj"):
                p, r = f"model.layers.{i}.self_attn.{name}", spec.top["lora_r"]
                self.lora[p] = [drawn(spec.seed, p + ".lora_A", r, hidden), drawn(spec.seed, p + ".lora_B", hidden, r)]
        return {}  # arguments() writes them: the file holds the decoder, too

    def arguments(self, spec, scratch):
        inner = "llamacasual.base_model.model."
        whole = self.own | {inner + n: t for n, t in self.decoder.state_dict().items()}
        for name, (down, up) in self.lora.items():
            whole |= {f"{inner}{name}.lora_A.weight": down, f"{inner}{name}.lora_B.weight": up}
        torch.save(whole, scratch / "pytorch_model.bin")
        return dict(checkpoint=scratch / "pytorch_model.bin", lora_alpha=ALPHA, image_size=spec.vision["image_size"])

    def reference(self, spec, config):
        self.spec = spec
        config.image_token_id = PICTURE
        return MedvintReference(config)

    def finish(self, model):
        for name, (down, up) in self.lora.items():
            weight = model.get_parameter(name + ".weight")
            weight.data = (weight.data + ALPHA / len(down) * (up.float() @ down.float())).bfloat16().float()
        model.connector = torch.nn.Identity()
        model.surround(self.own, self.spec)
        model.generation_config.eos_token_id = 1

    def picture_processor(self, _folder):
        side = self.spec.vision["image_size"]
        return hf.BlipImageProcessor(size={"height": side, "width": side}, image_mean=MEAN, image_std=STD)

    def render(self, _processor, messages):
        """Dataset/PMC_QA_Dataset.py: a blank question."""
        [message] = messages
        content = message["content"]
        words = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
        return f"Question: {words}The Answer is:"

    def encode(self, processor, text, images):
        """Visual tokens stand before the begin token."""
        ids = [PICTURE] * (self.spec.top["queries"] * len(images)) + processor.tokenizer(text)["input_ids"]
        inputs = {"input_ids": torch.tensor([ids])}
        if images:
            inputs["pixel_values"] = processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return inputs

    def picture_tokens(self, _processor, images):
        return [(1, self.spec.top["queries"]) for _ in images]


def checkpoints(make):
    return [
        make(
            "medvint",
            "medvint",
            cases.single_cases,
            dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=2,
                 max_position_embeddings=256, rms_norm_eps=1e-5),
            dict(width=2, layers=[1, 2, 1], image_size=32),
            top=dict(queries=3, layers=1, intermediate=20, lora_r=3),
            tokenizer="small_prepend",
            weights="bfloat16",
            seed=2,
        ),
    ]
