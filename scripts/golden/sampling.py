#!/usr/bin/env python3
"""Makes tests/golden/sampling.json: which frames the library's video processors look at, for many videos.

Each row: rule, frames and rate of the video, num_frames and fps asked for (null: not), indices. Where the library's
list has another length than it reckoned (arange in floating point) it fails on the video, and there is no row.
"""

import importlib
import json
import pathlib
import sys
import types

from transformers.video_utils import VideoMetadata

from families import without_video_packages

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "sampling.json"
TOTALS = [1, 2, 3, 4, 5, 7, 8, 13, 24, 25, 31, 48, 60, 75, 100, 121, 240, 299, 450, 721, 1800]
RATES = [1.0, 8.0, 12.0, 23.976, 24.0, 25.0, 29.97, 30.0, 60.0]
CLASSES = {
    # rule: (module, class, settings)
    "even": ("llava_onevision", "LlavaOnevisionVideoProcessor", {}),
    "groups": (
        "qwen2_vl",
        "Qwen2VLVideoProcessor",
        {"temporal_patch_size": 2, "min_frames": 4, "max_frames": 768},
    ),
    "ends": ("smolvlm", "SmolVLMVideoProcessor", {}),
}
DEFAULTS = {"even": (None, None), "groups": (None, None), "ends": (64, 1)}  # num_frames, fps
ASKED = {
    "even": [(8, None), (4, None), (32, None), (None, 2), (None, 0.5)],
    "groups": [(None, 2), (None, 1), (None, 0.7), (8, None), (7, None), (5, None), (32, None)],
    "ends": [(None, None), (8, None), (None, 2), (5, 4)],
}


def main():
    rows = []
    for rule, (module, name, settings) in CLASSES.items():
        with without_video_packages():
            package = f"transformers.models.{module}.video_processing_{module}"
            sample = getattr(importlib.import_module(package), name).sample_frames
        defaults = dict(zip(("num_frames", "fps"), DEFAULTS[rule]))
        processor = types.SimpleNamespace(**defaults, **settings)
        for index, total in enumerate(TOTALS):
            for rate in RATES[index % 3 :: 3]:
                for count, fps in ASKED[rule]:
                    rows += row(sample, processor, rule, total, rate, count, fps)
    OUT.write_text("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "\n]\n")
    print(len(rows), "rows,", OUT.stat().st_size, "bytes")


def row(sample, processor, rule, total, rate, count, fps):
    video = VideoMetadata(total_num_frames=total, fps=rate, duration=total / rate)
    try:
        found = [int(i) for i in sample(processor, video, num_frames=count, fps=fps)]
    except (ValueError, ZeroDivisionError):  # more frames than there are, or none
        return []
    if not found or found[-1] >= total or len(found) > 64:
        return []
    return [[rule, total, rate, count, fps, found]]


if __name__ == "__main__":
    sys.exit(main())
