"""Random shapes of every family, and published field sets, answer as the reference library does
(scripts/golden/compare_random.py)."""

import os
import re
import subprocess
import sys

import pytest

from server_process import BINARY, ROOT

SCRIPT = ROOT / "scripts" / "golden" / "compare_random.py"
# Family: seeds. One process for many, as importing the library takes longer than a shape.
SHAPES = {
    "llama": (0, 2), "mistral": (0,), "qwen2": (1,), "qwen3": (0,), "phi3": (4,), "gemma2": (2,), "gemma3_text": (1,),
    "opt": (5,), "mpt": (0, 3), "gpt_neox": (1, 2), "llava": (0, 6), "llava_next": (0,), "llava_next_video": (0,),
    "llava_onevision": (2,), "pixtral": (0,), "mistral3": (0,),
    "video_llava": (0,), "blip-2": (0,), "instructblip": (0,), "instructblipvideo": (0,), "idefics": (0,),
    "idefics2": (1,), "idefics3": (3,), "smolvlm": (0,), "qwen2_vl": (0, 2, 4), "qwen2_5_vl": (0,),
}
ALL = [f"{family}:{seed}" for family, seeds in SHAPES.items() for seed in seeds]
# Where an epsilon of a norm shows, by little.
CLOSE = ["idefics3:1", "smolvlm:1"]
# What old releases wrote and later ones left out (scripts/golden/hub_shapes.py).
HUB = [
    "llava-1.5", "llava-next-llama3", "llava-onevision", "video-llava", "instructblip-vicuna", "blip2-opt-sparse",
    "smolvlm-256m", "smolvlm2", "idefics2", "qwen2-vl", "qwen2.5-vl", "phi-3-mini-128k", "gemma-3", "opt-125m",
    "llama-both-dialects", "qwen2.5-1m", "pythia",
]


def compare(options, tolerance):
    """The shapes that were compared on all four prompts; nothing differs."""
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--tolerance", str(tolerance), *options],
        capture_output=True, text=True, timeout=900,
        env={**os.environ, "SACCADE_BINARY": BINARY, "OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return re.findall(r"^(\S+) (\S+): 4 prompts, log-probabilities within", ran.stdout, re.MULTILINE)


@pytest.mark.parametrize("shapes, tolerance", [(ALL[::2], 1e-4), (ALL[1::2], 1e-4), (CLOSE, 1e-5)])
def test_random_shapes_equal_reference(shapes, tolerance):
    compared = compare([word for shape in shapes for word in ("--shape", shape)], tolerance)
    assert [f"{family}:{seed}" for family, seed in compared] == shapes


def test_published_field_sets_equal_reference():
    compared = compare([word for name in HUB for word in ("--hub", name)], 2e-5)
    assert compared == [("hub", name) for name in HUB]
