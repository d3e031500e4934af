"""The LLaVA line beyond LLaVA-1.5: pictures shown whole and as tiles, features joined with newlines; videos.

The library's video processors need torchvision, which is not installed: frames are made by the slow (Pillow) image
processors, which the library had for them before (LlavaNextVideo, VideoLlava) or which do the same steps (OneVision).
"""

import json
import re

import torch
import transformers as hf
from transformers.image_processing_utils import select_best_resolution
from transformers.processing_utils import ProcessorMixin

import families

# As the published files: pictures first, then videos, then the text.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] + ' ' }}"
    "{% else %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


FIFTH = int(hf.__version__.split(".")[0]) >= 5


def rows_of(found):
    """Visual tokens as the library hands them over: 5.x has them in a field."""
    return list(getattr(found, "pooler_output", found))


class Frames(families.NoVideos):
    """A video processor that makes each frame apart, so that they may have different sizes: [videos, frames, 3, h,
    w]."""

    def to_dict(self):
        """As 5.x saves the library's own."""
        kept = ("image_mean", "image_std", "size", "crop_size", "do_center_crop", "resample")
        fields = {name: getattr(self.like, name, None) for name in kept}
        fields = {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items() if v is not None}
        sizes = {name: dict(v) for name, v in fields.items() if name.endswith("size")}
        return fields | sizes | {"video_processor_type": self.kind + "VideoProcessor"}

    def __call__(self, videos, **_):
        rows = [torch.stack([self.frame(frame) for frame in frames]) for frames in videos]
        return {"pixel_values_videos": torch.stack(rows)}


def _any_class(self, name, argument):
    return type(argument)


class Line(families.Family):
    """What all of the line share."""

    stages = [
        (r"language_model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"vision_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"multi_modal_projector$", "projector", False),
        (r"multi_modal_projector$", "vit.selected", True),
    ]
    tower = hf.CLIPVisionConfig
    takes_videos = True

    def tokens_of(self, spec):
        return ["<video>"] if self.takes_videos else []

    def model(self, spec, tokenizer, text):
        ids = {"image_token_index": tokenizer.convert_tokens_to_ids("<image>")}
        if self.takes_videos:
            ids["video_token_index"] = tokenizer.convert_tokens_to_ids("<video>")
        config = getattr(hf, self.model_class.replace("ForConditionalGeneration", "Config"))(
            vision_config=self.tower(**spec.vision),
            text_config=text,
            tie_word_embeddings=text.tie_word_embeddings,
            **ids,
            **self.config_fields(spec),
            **spec.top,
        )
        return getattr(hf, self.model_class)(config)

    def config_fields(self, spec):
        return {"image_grid_pinpoints": spec.pictures["image_grid_pinpoints"]}

    def no_effect(self, config, name):
        if not re.search(r"(vision|image|video)_tower", name):
            return False
        if name.endswith("k_proj.bias") or "post_layernorm" in name or ".head." in name:
            return True
        layers = config.vision_config.num_hidden_layers
        chosen = config.vision_feature_layer
        last = max(c % (layers + 1) for c in (chosen if isinstance(chosen, list) else [chosen]))
        block = re.search(r"encoder\.layers\.(\d+)\.", name)
        return bool(block) and int(block.group(1)) >= last

    def doubled(self):
        from transformers.models.qwen2 import modeling_qwen2
        from transformers.models.siglip import modeling_siglip

        return [
            (modeling_siglip, "eager_attention_forward", "attention"),
            (modeling_qwen2, "eager_attention_forward", "grouped_attention"),
            (modeling_qwen2.Qwen2RMSNorm, "forward", "rms_norm"),
            (modeling_qwen2.Qwen2RotaryEmbedding, "forward", "rotary"),
        ]


class Anyres(Line):
    """LLaVA-NeXT, LLaVA-NeXT-Video and LLaVA-OneVision."""

    def picture_tokens(self, processor, images):
        found = []
        for grid in self.grids(processor, images):
            parts = grid[0] * grid[1] + 1
            found.append((parts, self.count(processor, grid[2:], len(images))))
        return found

    def grids(self, processor, images):
        """[rows, columns, height, width]: the grid of tiles and the size of each picture."""
        pictures, grids = processor.image_processor, []
        for image in images:
            size = (image.height, image.width)
            best = select_best_resolution(size, pictures.image_grid_pinpoints)
            side = self.tile(pictures)
            grids.append([best[0] // side, best[1] // side, *size])
        return grids

    def tile(self, pictures):
        return pictures.crop_size["height"]

    def count(self, processor, size, _):
        side = self.tile(processor.image_processor)
        return processor._get_number_of_features(*size, side, side) - 1

    def pixels(self, inputs, parts):
        """Tiles of pictures, then frames. The reference pads pictures of fewer tiles with empty ones."""
        tiles = inputs.get("pixel_values", [])
        rows = [p[:n] for p, (n, _) in zip(tiles, parts)]
        return torch.cat(rows + list(inputs.get("pixel_values_videos", [])))

    def joined(self, model, inputs):
        """connector: the visual tokens of all pictures, then of all videos [tokens, H]."""
        rows = []
        with torch.no_grad():
            if "pixel_values" in inputs:
                sizes = {k: inputs[k] for k in ("image_sizes", "batch_num_images") if k in inputs}
                rows += rows_of(
                    model.model.get_image_features(pixel_values=inputs["pixel_values"], **sizes)
                )
            if "pixel_values_videos" in inputs:
                rows += self.videos(model, inputs["pixel_values_videos"])
        return {"connector": torch.cat(list(rows))}


class Next(Anyres):
    model_class = "LlavaNextForConditionalGeneration"
    takes_videos = False

    def pictures(self, spec):
        side = spec.vision["image_size"]
        return hf.LlavaNextImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, **spec.pictures
        )

    def processor(self, spec, tokenizer):
        return hf.LlavaNextProcessor(
            self.pictures(spec),
            tokenizer,
            patch_size=spec.vision["patch_size"],
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=TEMPLATE,
        )

    def load_processor(self, folder):
        return hf.AutoProcessor.from_pretrained(folder)


class NextVideo(Next):
    model_class = "LlavaNextVideoForConditionalGeneration"
    takes_videos = True

    def processor(self, spec, tokenizer):
        return self._join(self.pictures(spec), tokenizer, spec.vision["patch_size"])

    def load_processor(self, folder):
        config = json.loads((folder / "processor_config.json").read_text())
        return self._join(
            families.slow("LlavaNextImageProcessor").from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            config["patch_size"],
        )

    def _join(self, pictures, tokenizer, patch_size):
        # Like CLIP's pictures, as the class LlavaNextVideoImageProcessor of 4.x has it.
        size, crop = pictures.size, pictures.crop_size
        slow = families.slow("CLIPImageProcessor")(size=dict(size), crop_size=dict(crop))

        def frame(image):
            return slow([image], return_tensors="pt")["pixel_values"][0]

        ProcessorMixin.check_argument_for_proper_class = _any_class
        return hf.LlavaNextVideoProcessor(
            Frames(frame=frame, kind="LlavaNextVideo", like=slow),
            pictures,
            tokenizer,
            patch_size=patch_size,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=TEMPLATE,
        )

    def video_tokens(self, processor, videos):
        side = self.tile(processor.image_processor) // processor.patch_size
        return [(len(frames), len(frames) * (side * side // 4)) for frames in videos]

    def videos(self, model, pixels):
        found = rows_of(model.model.get_video_features(pixels))
        return [rows.reshape(-1, rows.shape[-1]) for rows in found]


class Onevision(Anyres):
    model_class = "LlavaOnevisionForConditionalGeneration"
    tower = hf.SiglipVisionConfig

    def processor(self, spec, tokenizer):
        side = spec.vision["image_size"]
        pictures = hf.LlavaOnevisionImageProcessor(
            size={"height": side, "width": side}, **spec.pictures
        )
        patches = side // spec.vision["patch_size"]
        ratio = spec.top.get("vision_aspect_ratio", "anyres_max_9")
        return self._join(pictures, tokenizer, patches**2, ratio)

    def load_processor(self, folder):
        config = json.loads((folder / "processor_config.json").read_text())
        return self._join(
            families.slow("LlavaOnevisionImageProcessor").from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            config["num_image_tokens"],
            config["vision_aspect_ratio"],
        )

    def _join(self, pictures, tokenizer, tokens, ratio):
        size = dict(pictures.size)
        frames = families.slow("SiglipImageProcessor")(
            size=size, image_mean=pictures.image_mean, image_std=pictures.image_std
        )
        ProcessorMixin.check_argument_for_proper_class = _any_class
        return Nested(
            pictures,
            tokenizer,
            Frames(
                frame=lambda image: frames(image, return_tensors="pt")["pixel_values"][0],
                kind="LlavaOnevision",
                like=frames,
            ),
            num_image_tokens=tokens,
            vision_feature_select_strategy="full",
            vision_aspect_ratio=ratio,
            chat_template=TEMPLATE,
        )

    def tile(self, pictures):
        return pictures.size["height"]

    def grids(self, processor, images):
        if len(images) > 1:  # one tile each
            return [[0, 0, image.height, image.width] for image in images]
        return super().grids(processor, images)

    def count(self, processor, size, pictures):
        if pictures > 1:
            return processor.num_image_tokens + 1
        side = self.tile(processor.image_processor)
        return processor._get_number_of_features(*size, side, side)

    def video_tokens(self, processor, videos):
        side = (int(processor.num_image_tokens**0.5) + 1) // 2
        return [(len(frames), len(frames) * side * side + 1) for frames in videos]

    def videos(self, model, pixels):
        config = model.config
        if FIFTH:  # with the newline
            return rows_of(model.model.get_video_features(pixels))
        rows = model.model.get_video_features(
            pixels, config.vision_feature_layer, config.vision_feature_select_strategy
        )
        newline = model.model.image_newline[None]
        return [torch.cat([video, newline]) for video in rows]


class Nested(hf.LlavaOnevisionProcessor):
    """Pictures in a list for each sample, as apply_chat_template hands them over: several make one tile each."""

    def __call__(self, images=None, **kwargs):
        nested = [images] if images and len(images) > 1 else images
        return super().__call__(images=nested, **kwargs)


class VideoLlava(Line):
    """Two towers; pictures and frames go through the slow image processor."""

    model_class = "VideoLlavaForConditionalGeneration"
    stages = [
        Line.stages[0],
        (r"image_tower\.(?:vision_model\.)?encoder\.layers\.(\d+)$", "vit.block.{}", False),
    ]

    def config_fields(self, spec):
        return {}

    def processor(self, spec, tokenizer):
        side = spec.vision["image_size"]
        pictures = hf.VideoLlavaImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )
        return self._join(pictures, tokenizer, spec.vision["patch_size"])

    def load_processor(self, folder):
        config = json.loads((folder / "processor_config.json").read_text())
        return self._join(
            hf.VideoLlavaImageProcessor.from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder),
            config["patch_size"],
        )

    def _join(self, pictures, tokenizer, patch_size):
        def frame(image):
            made = pictures(images=[image], return_tensors="pt")  # the steps are those of frames
            return made["pixel_values_images"][0]

        ProcessorMixin.check_argument_for_proper_class = _any_class
        return Renamed(
            pictures,
            Frames(frame=frame, kind="VideoLlava", like=pictures),
            tokenizer,
            patch_size=patch_size,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=TEMPLATE,
        )

    def picture_tokens(self, processor, images):
        side = processor.image_processor.crop_size["height"] // processor.patch_size
        return [(1, side * side) for _ in images]

    def video_tokens(self, processor, videos):
        side = processor.image_processor.crop_size["height"] // processor.patch_size
        return [(len(frames), len(frames) * (side * side + 1)) for frames in videos]

    def pixels(self, inputs, parts):
        pictures = [picture[None] for picture in inputs.get("pixel_values_images", [])]
        return torch.cat(pictures + list(inputs.get("pixel_values_videos", [])))

    def joined(self, model, inputs):
        rows = []
        with torch.no_grad():
            if "pixel_values_images" in inputs:
                rows += rows_of(model.model.get_image_features(inputs["pixel_values_images"]))
            if "pixel_values_videos" in inputs:
                found = model.model.get_video_features(inputs["pixel_values_videos"])
                rows += rows_of(found if FIFTH else found[0])
            rows = [row.reshape(-1, row.shape[-1]) for row in rows]
        return {"connector": torch.cat(rows)}


class Renamed(hf.VideoLlavaProcessor):
    """Takes the arguments of the other processors, and drops those it does not know."""

    def __call__(self, images=None, text=None, videos=None, return_tensors=None, **_):
        return super().__call__(text=text, images=images, videos=videos, return_tensors=return_tensors)


families.FAMILIES.update(
    {
        "llava_next": Next(),
        "llava_next_video": NextVideo(),
        "llava_onevision": Onevision(),
        "video_llava": VideoLlava(),
    }
)
