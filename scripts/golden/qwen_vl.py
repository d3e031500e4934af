"""Qwen2-VL and Qwen2.5-VL for families.py: pictures of their own size, frames in pairs, positions of three axes.

The library's video processor needs torchvision: frames go through the (Pillow) image processor one by one, with the
video processor's numbers of pixels, and are packed as the library packs them.
"""

import json
import pathlib
import sys

import torch
import transformers as hf
from PIL import Image
from transformers.utils import PushToHubMixin

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


# As the library's own file of a video processor has them, beside what the checkpoint sets.
VIDEO_FIELDS = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "do_sample_frames": False,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "max_frames": 768,
    "max_pixels": None,
    "min_frames": 4,
    "min_pixels": None,
    "resample": 3,
    "rescale_factor": 1 / 255,
    "temporal_patch_size": 2,
    "video_processor_type": "Qwen2VLVideoProcessor",
}


def unpacked(rows, grid):
    """Patches of one item -> frames [2 * groups, 3, h, w]."""
    t, h, w = grid
    p = int((rows.shape[1] // 6) ** 0.5)
    blocks = rows.reshape(t, h // 2, w // 2, 2, 2, 3, 2, p, p)
    return blocks.permute(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(2 * t, 3, h * p, w * p)


def packed(frames, p):
    """Frames [2 * groups, 3, h, w] -> (patches, grid)."""
    t, h, w = len(frames) // 2, frames.shape[2] // p, frames.shape[3] // p
    blocks = frames.reshape(t, 2, 3, h // 2, 2, p, w // 2, 2, p)
    rows = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(t * h * w, -1)
    assert torch.equal(unpacked(rows, (t, h, w)), frames)
    return rows, [t, h, w]


class PairsOfFrames(PushToHubMixin):
    """Stands for the video processor."""

    num_frames, fps, _auto_class = None, None, None
    merge_size = temporal_patch_size = 2

    def __init__(self, pictures, size):
        self.patch_size, self.saved = pictures.patch_size, size is not None
        if size is None:  # a folder without a file of it: the picture processor's numbers
            size = {edge: pictures.size[edge] for edge in ("shortest_edge", "longest_edge")}
        self.size = size
        least, most = size["shortest_edge"], size["longest_edge"]
        # 4.57's class overlooks a size.
        edges = {"size": size} if FIFTH else {"min_pixels": least, "max_pixels": most}
        self.frames = type(pictures)(patch_size=self.patch_size, merge_size=2, **edges)

    def __call__(self, videos, video_metadata=None, **_):
        rows, grids = [], []
        for video in videos:
            made = [self.frames([frame], return_tensors="pt") for frame in video]
            frames = [unpacked(m["pixel_values"], m["image_grid_thw"][0].tolist())[0] for m in made]
            frames += frames[-1:] * (len(frames) % 2)
            patches, grid = packed(torch.stack(frames), self.patch_size)
            rows.append(patches)
            grids.append(grid)
        found = {"pixel_values_videos": torch.cat(rows), "video_grid_thw": torch.tensor(grids)}
        if FIFTH:
            given = video_metadata or [{}] * len(videos)
            found["video_metadata"] = [metadata(video, **one) for video, one in zip(videos, given)]
        return found

    def to_dict(self):
        return VIDEO_FIELDS | {"size": self.size, "patch_size": self.patch_size, "merge_size": 2}

    def save_pretrained(self, folder, **_):
        if self.saved:
            path = pathlib.Path(folder) / "video_preprocessor_config.json"
            path.write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")

    def _set_processor_class(self, _):
        pass


def metadata(video, fps=None):
    """Of a list of frames that were all looked at."""
    from transformers.video_utils import VideoMetadata

    return VideoMetadata(total_num_frames=len(video), fps=fps, frames_indices=list(range(len(video))))


def grids_of(inputs):
    """[frames in pairs, rows, columns] of each picture's patches, then of each video's."""
    found = [inputs[key] for key in ("image_grid_thw", "video_grid_thw") if key in inputs]
    return torch.cat(found).tolist()


class QwenVL:
    token_types = FIFTH  # the model reads which tokens are visual
    image_token = "<|image_pad|>"
    stages = [
        (r"language_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"visual\.patch_embed$", "vit.embeddings", False),
        (r"visual\.blocks\.(\d+)$", "vit.block.{}", False),
        (r"visual$", "connector", False),
    ]

    def __init__(self, name, stand_in):
        self.name = name  # Qwen2VL or Qwen2_5_VL
        self.model_class = name + "ForConditionalGeneration"
        self._stand_in = stand_in

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
        return self._join(pictures, tokenizer, spec.videos)

    def load_processor(self, folder):
        import families

        nested, own = folder / "processor_config.json", folder / "video_preprocessor_config.json"
        saved = json.loads(nested.read_text()) if nested.exists() else {}
        videos = json.loads(own.read_text()) if own.exists() else saved.get("video_processor", {})
        return self._join(
            families.slow("Qwen2VLImageProcessor").from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            videos.get("size"),
        )

    def _join(self, pictures, tokenizer, videos):
        with self._stand_in():
            processor_class = getattr(hf, self.name + "Processor")
        frames = PairsOfFrames(pictures, videos)
        return processor_class(pictures, tokenizer, frames, chat_template=TEMPLATE)

    def video_rates(self, videos, rates):
        if FIFTH:
            return {"video_metadata": [{"fps": rate} for rate in rates]}
        return {"fps": [rate or 2.0 for rate in rates]}

    def render(self, processor, messages):
        import prompts

        messages = [{"role": m["role"], "content": prompts.parts(m["content"])} for m in messages]
        return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    def picture_tokens(self, processor, images):
        if not images:
            return []
        merge = processor.image_processor.merge_size
        grids = processor.image_processor(images)["image_grid_thw"]
        return [(1, int(t * h * w) // merge**2) for t, h, w in grids]

    def video_tokens(self, processor, videos):
        grids = processor.video_processor(videos)["video_grid_thw"]
        return [(len(v), int(t * h * w) // 4) for v, (t, h, w) in zip(videos, grids)]

    def video_sizes(self, processor, sizes):
        """Visual tokens of three frames of each size."""
        rows = []
        for height, width in sizes:
            frames = [Image.new("RGB", (width, height), (127, 127, 127))] * 3
            tokens = self.video_tokens(processor, [frames])[0][1]
            rows.append({"height": height, "width": width, "frames": 3, "tokens": tokens})
        return rows

    def span_grids(self, config, inputs):
        """Rows and columns of each picture's visual tokens, then of each video's."""
        merge = config.vision_config.spatial_merge_size
        return [[int(h) // merge, int(w) // merge] for _, h, w in grids_of(inputs)]

    def paces(self, config, inputs):
        """[positions from one frame to the next, positions to the text behind or 0] of each item."""
        merge = config.vision_config.spatial_merge_size
        found = [[1.0, 0] for _ in inputs.get("image_grid_thw", [])]
        for i, (_, h, w) in enumerate(inputs.get("video_grid_thw", [])):
            step = 1.0
            if self.name == "Qwen2_5_VL":
                seconds = inputs["second_per_grid_ts"][i]
                seconds = float(seconds) if FIFTH else int(seconds)
                step = float(torch.tensor(seconds) * config.vision_config.tokens_per_second)
            found.append([step, max(int(h), int(w)) // merge if FIFTH else 0])
        return found

    def pixels(self, inputs, _parts):
        """Each picture put together again from its patches: [1, 3, h, w]; each video: [frames, 3, h, w]."""
        found = {}
        for kind in ("pixel_values", "pixel_values_videos"):
            rows = inputs.get(kind)
            grids = inputs.get("video_grid_thw" if kind.endswith("videos") else "image_grid_thw")
            for t, h, w in [] if grids is None else grids.tolist():
                mine, rows = rows[: t * h * w], rows[t * h * w :]
                frames = unpacked(mine, (t, h, w))
                if torch.equal(frames[-1], frames[-2]):  # a picture, or an odd last frame
                    frames = frames[:-1]
                assert len(frames) == 1 or kind == "pixel_values_videos"
                found[f"pixel_values.{len(found)}"] = frames
        return found

    def positions(self, model, inputs, start, length):
        """Keyword arguments of a forward pass over embeddings of tokens [start, start + length)."""
        ids = inputs["input_ids"]
        names = ["image_grid_thw", "video_grid_thw", "mm_token_type_ids"]
        names += ["second_per_grid_ts"] if self.name == "Qwen2_5_VL" else []
        grids = {k: v for k, v in inputs.items() if k in names}
        if FIFTH and "mm_token_type_ids" not in grids:  # 5.x has no positions for text alone
            return {"position_ids": torch.arange(start, start + length).expand(3, 1, -1)}
        prompt, delta = model.model.get_rope_index(ids, **grids)
        count = start + length - ids.shape[1]
        if count > 0:
            later = torch.arange(ids.shape[1], start + length) + int(delta)
            prompt = torch.cat([prompt, later.expand(3, 1, -1)], dim=-1)
        return {"position_ids": prompt[:, :, start : start + length]}

    def joined(self, model, inputs):
        """Stages of pictures and videos together: the library runs the tower for each kind on its own."""
        if "pixel_values_videos" not in inputs:
            return {}
        rows = []
        with torch.no_grad():
            for kind in ("image", "video"):
                key = "pixel_values" if kind == "image" else "pixel_values_videos"
                if key in inputs:
                    ran = model.model.visual(inputs[key], grid_thw=inputs[f"{kind}_grid_thw"])
                    rows.append(getattr(ran, "pooler_output", ran))
        return {"connector": torch.cat(rows)}

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
