"""From OpenAI messages to the inputs of the reference model, through the checkpoint's own processor files."""

import pathlib

import numpy as np
import torch
from PIL import Image
from transformers.image_utils import load_image

import families
from decoders import text_only

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"

# In the style of the published files of the family: pictures first, then text; each message ends in a space.
LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] + ' ' }}"
    "{% else %}{{ message['role'].upper() + ': ' }}"
    "{# pictures come before the text #}{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ part['text'] + ' ' }}{% endfor %}"
    "{% else %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endif %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
TEXT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% else %}"
    "{{ message['role'] | upper + ': ' + message['content'] + '\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


class Prompter:
    def __init__(self, family, processor):
        self.family = family
        self.processor = processor
        self.tokenizer = processor if text_only(family) else processor.tokenizer

    def prepare(self, candidate):
        """(record for golden.json, model inputs)."""
        messages = None if isinstance(candidate, str) else candidate
        pictures, videos = _pictures(messages), _videos(messages)
        text = candidate if messages is None else self._render(messages)
        rates = _rates(messages)
        inputs = self._encode(text, pictures, videos, messages is not None, rates)
        record = {
            "messages": messages,
            "prompt": text,
            "images": pictures,
            **({"videos": videos} if videos else {}),
            "input_ids": inputs["input_ids"][0].tolist(),
            "qformer_input_ids": None,
        }
        if "qformer_input_ids" in inputs:
            record["qformer_input_ids"] = inputs["qformer_input_ids"][0].tolist()
        return record, inputs

    def _render(self, messages):
        if self.family in families.FAMILIES:
            return families.FAMILIES[self.family].render(self.processor, messages)
        if self.family in ("instructblip", "blip-2"):
            content = messages[-1]["content"]
            return content if isinstance(content, str) else content[-1].get("text", "")
        if self.family == "llava":
            messages = [{"role": m["role"], "content": parts(m["content"])} for m in messages]
        return self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )

    def _encode(self, text, pictures, videos, from_chat, rates=()):
        if text_only(self.family):
            # A text model's template holds its own begin token; raw text gets it from the tokenizer.
            ids = self.tokenizer(text, add_special_tokens=not from_chat)["input_ids"]
            return {"input_ids": torch.tensor([ids])}
        images = [load_image(str(ROOT / p)) for p in pictures]
        family = families.FAMILIES.get(self.family)
        if hasattr(family, "encode"):
            inputs = family.encode(self.processor, text, images)
            inputs.pop("attention_mask", None)
            if images:
                inputs["picture_tokens"] = family.picture_tokens(self.processor, images)
            return inputs
        videos = [[load_image(str(ROOT / p)) for p in frames] for frames in videos]
        more = {"videos": videos} if videos else {}
        if any(rates):
            more |= families.FAMILIES[self.family].video_rates(videos, rates)
        # As apply_chat_template does: no second begin token.
        bos = self.tokenizer.bos_token
        twice = bos is not None and text.startswith(bos) and self.family in families.FAMILIES
        inputs = dict(
            self.processor(
                images=images or None,
                text=text,
                return_tensors="pt",
                add_special_tokens=not twice,
                **more,
            )
        )
        if (images or videos) and self.family in families.FAMILIES:
            family = families.FAMILIES[self.family]
            inputs["picture_tokens"] = family.picture_tokens(self.processor, images)
            if hasattr(family, "grids"):
                inputs["picture_grids"] = family.grids(self.processor, images)
            if videos:
                inputs["picture_videos"] = family.video_tokens(self.processor, videos)
        for unused in (
            "attention_mask",
            "token_type_ids",
            "qformer_attention_mask",
            "mm_token_type_ids",
        ):
            inputs.pop(unused, None)
        family = families.FAMILIES.get(self.family)
        if (images or videos) and getattr(family, "token_types", False):
            ids = inputs["input_ids"]
            kinds = [ids == self.processor.image_token_id, ids == self.processor.video_token_id]
            inputs["mm_token_type_ids"] = kinds[0].int() + 2 * kinds[1].int()
        if not images and not videos:  # the language model alone
            inputs.pop("qformer_input_ids", None)
        return inputs

    def sizes(self, image_token_id):
        """Visual tokens of 40 picture sizes, counted in what the processor makes."""
        rows = []
        for height, width in _sizes():
            image = Image.fromarray(np.full((height, width, 3), 127, np.uint8))
            if self.family in families.FAMILIES:
                rows.append(self._prompt_size(image, image_token_id))
                continue
            text = "<image>" if self.family == "llava" else "a"
            ids = self.processor(images=[image], text=text, return_tensors="pt")["input_ids"][0]
            rows.append(
                {"height": height, "width": width, "tokens": int((ids == image_token_id).sum())}
            )
        return rows


    def video_sizes(self):
        """The same for frames of videos, where the family keeps their sizes; else nothing."""
        family = families.FAMILIES.get(self.family)
        if not hasattr(family, "video_sizes"):
            return {}
        return {"video_sizes": family.video_sizes(self.processor, _sizes())}

    def _prompt_size(self, image, image_token_id):
        """A whole prompt of one picture and the word "a"."""
        content = [{"type": "image"}, {"type": "text", "text": "a"}]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        bos = self.tokenizer.bos_token
        twice = bos is not None and text.startswith(bos)
        ids = self.processor(images=[image], text=text, add_special_tokens=not twice)["input_ids"]
        ids = [int(i) for i in ids[0]]  # some processors make tensors unasked
        return {
            "height": image.height,
            "width": image.width,
            "tokens": sum(i == image_token_id for i in ids),
            "prompt_tokens": len(ids),
        }


def parts(content):
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    kinds = {"text": None, "image_url": "image", "video": "video"}
    return [p if p["type"] == "text" else {"type": kinds[p["type"]]} for p in content]


def _pictures(messages):
    return [
        p["image_url"]["url"]
        for m in messages or []
        if not isinstance(m["content"], str)
        for p in m["content"]
        if p["type"] == "image_url"
    ]


def _videos(messages):
    """The frames of each video."""
    return [
        p["frames"]
        for m in messages or []
        if not isinstance(m["content"], str)
        for p in m["content"]
        if p["type"] == "video"
    ]


def _rates(messages):
    """Of each video: its frames a second, None where the message does not say."""
    return [
        p.get("fps")
        for m in messages or []
        if not isinstance(m["content"], str)
        for p in m["content"]
        if p["type"] == "video"
    ]


def _sizes():
    sides = [5, 14, 27, 41, 42, 43, 84, 100, 333, 640]
    return [
        (h, w) for i, h in enumerate(sides) for w in (sides[(i + k) % 10] for k in (0, 1, 4, 7))
    ]
