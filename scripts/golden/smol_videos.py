"""The video half of SmolVLM's processor for families.py.

The library's video processor needs torchvision: here frames are resized with Pillow, by the same two steps and with the
cubic filter that the library takes for tensors in place of Lanczos'.
"""

import importlib
import json
import pathlib
import types

import numpy as np
import torch
from PIL import Image
from transformers.utils import PushToHubMixin

WORDS = "zero one two three four five six seven eight nine ten".split()
# As published files have them, beside the sizes.
FIELDS = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "do_sample_frames": False,
    "fps": 1,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "num_frames": 64,
    "resample": 1,
    "rescale_factor": 1 / 255,
    "video_processor_type": "SmolVLMVideoProcessor",
}


class SquashedFrames(PushToHubMixin):
    """Stands for the video processor. `sizes`: its size and max_image_size."""

    num_frames, fps, _auto_class = FIELDS["num_frames"], FIELDS["fps"], None

    def __init__(self, sizes):
        self.sizes = sizes

    def __call__(self, videos, video_metadata=None, **_):
        videos = videos[0]  # a list for each prompt
        given = video_metadata or [{}] * len(videos)
        return {
            "pixel_values": torch.stack([torch.stack([self.frame(f) for f in v]) for v in videos]),
            "video_metadata": [metadata(v, **one) for v, one in zip(videos, given)],
        }

    def frame(self, image):
        module = importlib.import_module("transformers.models.smolvlm.video_processing_smolvlm")
        shape = types.SimpleNamespace(size=lambda: (1, 3, image.height, image.width))
        height, width = module.get_resize_output_image_size(shape, self.sizes["size"]["longest_edge"])
        side = self.sizes["max_image_size"]["longest_edge"]
        made = image.resize((width, height), Image.BICUBIC).resize((side, side), Image.BICUBIC)
        values = (np.asarray(made).astype(np.float64) * (1 / 255)).astype(np.float32)
        return torch.from_numpy((values - np.float32(0.5)) / np.float32(0.5)).permute(2, 0, 1)

    def to_dict(self):
        return FIELDS | self.sizes

    def save_pretrained(self, folder, **_):
        path = pathlib.Path(folder) / "video_preprocessor_config.json"
        path.write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n")

    def _set_processor_class(self, _):
        pass


def metadata(video, fps=None):
    """Of a list of frames that were all looked at."""
    from transformers.video_utils import VideoMetadata

    return VideoMetadata(total_num_frames=len(video), fps=fps, frames_indices=list(range(len(video))))


def processor_class():
    """The library's processor, which wants a list of videos for each prompt."""
    module = importlib.import_module("transformers.models.smolvlm.processing_smolvlm")
    module.num2words = lambda number: WORDS[number]

    class SmolVLMProcessor(module.SmolVLMProcessor):
        def __call__(self, images=None, text=None, videos=None, **kwargs):
            videos = [videos] if videos else None
            return super().__call__(images=images, text=text, videos=videos, **kwargs)

    return SmolVLMProcessor


def saved_sizes(folder):
    """From a folder as either release saves it."""
    path = folder / "video_preprocessor_config.json"
    if path.exists():
        fields = json.loads(path.read_text())
    else:
        fields = json.loads((folder / "processor_config.json").read_text())["video_processor"]
    return {key: fields[key] for key in ("size", "max_image_size")}
