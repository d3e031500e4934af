"""Qwen2-VL and Qwen2.5-VL for families.py: pictures of their own size, positions of three axes."""

import json
import sys

import torch
import transformers as hf

# As the published checkpoints have it.
TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


FIFTH = int(hf.__version__.split(".")[0]) >= 5


class QwenVL:
    token_types = FIFTH  # the model reads which tokens are visual
    image_token = "<|image_pad|>"
    stages = [
        (r"language_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"visual\.patch_embed$", "vit.embeddings", False),
        (r"visual\.blocks\.(\d+)$", "vit.block.{}", False),
        (r"visual$", "connector", False),
    ]

    def __init__(self, name, no_videos, stub):
        self.name = name  # Qwen2VL or Qwen2_5_VL
        self.model_class = name + "ForConditionalGeneration"
        self._no_videos, self._stub = no_videos, stub

    def tokens_of(self, spec):
        return ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]

    def model(self, spec, tokenizer, _text):
        ids = {
            name: tokenizer.convert_tokens_to_ids(f"<|{token}|>")
            for name, token in (
                ("image_token_id", "image_pad"),
                ("video_token_id", "video_pad"),
                ("vision_start_token_id", "vision_start"),
                ("vision_end_token_id", "vision_end"),
            )
        }
        text = dict(spec.text, vocab_size=len(tokenizer) + spec.extra_rows, pad_token_id=0)
        config = getattr(hf, self.name + "Config")(
            text_config=text,
            vision_config=dict(spec.vision),
            tie_word_embeddings=text.get("tie_word_embeddings", False),
            **ids,
        )
        return getattr(hf, self.model_class)(config)

    def processor(self, spec, tokenizer):
        pictures = hf.Qwen2VLImageProcessor(
            patch_size=spec.vision["patch_size"],
            merge_size=spec.vision["spatial_merge_size"],
            temporal_patch_size=2,
            **spec.pictures,
        )
        return self._join(pictures, tokenizer)

    def load_processor(self, folder):
        nested = folder / "processor_config.json"
        fifth = nested.exists() and "image_processor" in json.loads(nested.read_text())
        image_class = hf.Qwen2VLImageProcessorPil if fifth else hf.Qwen2VLImageProcessor
        return self._join(
            image_class.from_pretrained(folder), hf.AutoTokenizer.from_pretrained(folder)
        )

    def _join(self, pictures, tokenizer):
        with self._stub():
            processor_class = getattr(hf, self.name + "Processor")
        return processor_class(pictures, tokenizer, self._no_videos(), chat_template=TEMPLATE)

    def render(self, processor, messages):
        import prompts

        messages = [{"role": m["role"], "content": prompts.parts(m["content"])} for m in messages]
        return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def picture_tokens(self, processor, images):
        merge = processor.image_processor.merge_size
        grids = processor.image_processor(images)["image_grid_thw"]
        return [(1, int(t * h * w) // merge**2) for t, h, w in grids]

    def span_grids(self, config, inputs):
        """Rows and columns of each picture's visual tokens."""
        merge = config.vision_config.spatial_merge_size
        return [[int(h) // merge, int(w) // merge] for _, h, w in inputs["image_grid_thw"]]

    def pixels(self, inputs, _parts):
        """Each picture put together again from its patches: [1, 3, h, w]."""
        found, rows = {}, inputs["pixel_values"]
        for i, (t, h, w) in enumerate(inputs["image_grid_thw"].tolist()):
            mine, rows = rows[: t * h * w], rows[t * h * w :]
            p = int((mine.shape[1] // 6) ** 0.5)
            blocks = mine.reshape(t, h // 2, w // 2, 2, 2, 3, 2, p, p)
            frames = blocks.permute(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(2 * t, 3, h * p, w * p)
            assert torch.equal(frames[0], frames[1])
            found[f"pixel_values.{i}"] = frames[:1]
        return found

    def positions(self, model, inputs, start, length):
        """Keyword arguments of a forward pass over embeddings of tokens [start, start + length)."""
        ids = inputs["input_ids"]
        grids = {k: v for k, v in inputs.items() if k in ("image_grid_thw", "mm_token_type_ids")}
        if FIFTH and "image_grid_thw" not in grids:  # 5.x has no positions for text alone
            return {"position_ids": torch.arange(start, start + length).expand(3, 1, -1)}
        prompt, delta = model.model.get_rope_index(ids, **grids)
        count = start + length - ids.shape[1]
        if count > 0:
            later = torch.arange(ids.shape[1], start + length) + int(delta)
            prompt = torch.cat([prompt, later.expand(3, 1, -1)], dim=-1)
        return {"position_ids": prompt[:, :, start : start + length]}

    def joined(self, _model, _inputs):
        return {}

    def no_effect(self, _config, _name):
        return False

    def doubled(self):
        module = sys.modules[getattr(hf, self.model_class).__module__]
        qwen2 = sys.modules["transformers.models.qwen2.modeling_qwen2"]
        return [
            (module, "eager_attention_forward", "grouped_attention"),
            (module, "apply_rotary_pos_emb_vision", "vision_rotation"),
            (getattr(module, self.name + "RotaryEmbedding"), "forward", "rotary_of_three"),
            (qwen2.Qwen2RMSNorm, "forward", "rms_norm"),
        ]
