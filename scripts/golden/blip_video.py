"""InstructBlipVideo for families.py: four frames of a video, each through the tower and the Q-Former.

The library's video processor needs torchvision: frames are made by the slow (Pillow) image processor that the family
had before. Its settings are saved as the video processor would save them.
"""

import json
import pathlib
import re

import torch
import transformers as hf
from transformers.processing_utils import ProcessorMixin

import families
import text_tokenizers

FRAMES = 4  # fixed in the library's processor
# As the library's own processor file has them, beside the size.
FIELDS = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "do_sample_frames": False,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "video_processor_type": "InstructBlipVideoVideoProcessor",
}


class FourFrames(families.NoVideos):
    """Stands for the video processor; `size` is {"height", "width"}."""

    def __call__(self, videos, **_):
        slow = families.slow("BlipImageProcessor")(
            size=self.size, image_mean=FIELDS["image_mean"], image_std=FIELDS["image_std"]
        )
        frames = [
            [slow(frame, return_tensors="pt")["pixel_values"][0] for frame in video]
            for video in videos
        ]
        return {"pixel_values": torch.stack([torch.stack(video) for video in frames])}

    def to_dict(self):
        return FIELDS | {"size": self.size}

    def save_pretrained(self, folder, **_):
        path = pathlib.Path(folder) / "video_preprocessor_config.json"
        path.write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")


class InstructBlipVideoProcessor(hf.InstructBlipVideoProcessor):
    """Takes videos by the name that the other processors have for them."""

    def __call__(self, images=None, text=None, videos=None, **kwargs):
        return super().__call__(images=videos, text=text, **kwargs)


class BlipVideo(families.Family):
    model_class = "InstructBlipVideoForConditionalGeneration"
    image_token = "<video>"
    stages = [
        (r"language_model\.model\.layers\.(\d+)$", "decoder.layer.{}", False),
        (r"vision_model\.encoder\.layers\.(\d+)$", "vit.block.{}", False),
        (r"vision_model\.post_layernorm$", "vit.post_layernorm", False),
        (r"qformer\.embeddings$", "qformer.embeddings", False),
        (r"qformer\.encoder\.layer\.(\d+)$", "qformer.layer.{}", False),
        (r"language_projection$", "qformer.output", True),
        (r"language_projection$", "connector", False),
    ]

    def tokens_of(self, spec):
        return []

    def model(self, spec, tokenizer, text):
        qformer = hf.InstructBlipVideoQFormerConfig(
            vocab_size=len(text_tokenizers.qformer()), **spec.qformer
        )
        config = hf.InstructBlipVideoConfig(
            vision_config=hf.InstructBlipVideoVisionConfig(**spec.vision).to_dict(),
            qformer_config=qformer.to_dict(),
            text_config=text.to_dict(),
            video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
            tie_word_embeddings=False,
            **spec.top,
        )
        return hf.InstructBlipVideoForConditionalGeneration(config)

    def processor(self, spec, tokenizer):
        side = spec.vision["image_size"]
        return self._join(
            {"height": side, "width": side},
            tokenizer,
            text_tokenizers.qformer(),
            spec.top["num_query_tokens"],
        )

    def load_processor(self, folder):
        frames = folder / "video_preprocessor_config.json"
        config = json.loads((folder / "processor_config.json").read_text())
        size = json.loads(frames.read_text()) if frames.exists() else config["video_processor"]
        return self._join(
            size["size"],
            hf.AutoTokenizer.from_pretrained(folder),
            hf.AutoTokenizer.from_pretrained(folder / "qformer_tokenizer"),
            config["num_query_tokens"],
        )

    def _join(self, size, tokenizer, qformer_tokenizer, queries):
        ProcessorMixin.check_argument_for_proper_class = lambda self, name, argument: type(argument)
        return InstructBlipVideoProcessor(
            FourFrames(size=size), tokenizer, qformer_tokenizer, num_query_tokens=queries
        )

    def render(self, processor, messages):
        content = messages[-1]["content"]
        return content if isinstance(content, str) else content[-1].get("text", "")

    def picture_tokens(self, processor, images):
        return []

    def video_tokens(self, processor, videos):
        return [(FRAMES, FRAMES * processor.num_query_tokens) for _ in videos]

    def pixels(self, inputs, parts):
        return inputs["pixel_values"][0]

    def no_effect(self, config, name):
        final = config.qformer_config.num_hidden_layers - 1
        if re.search(rf"qformer\.encoder\.layer\.{final}\.(intermediate|output)\.", name):
            return True
        return bool(re.search(r"qformer\..*\.key\.bias$", name))

    def doubled(self):
        return []


families.FAMILIES["instructblipvideo"] = BlipVideo()
