"""Tiles of the LLaVA line equal the slow (Pillow) image processors of transformers, bit for bit."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import LlavaNextImageProcessor, LlavaOnevisionImageProcessor
from transformers.image_processing_utils import select_best_resolution

from media_client import MediaError

NEXT = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28},
        "image_grid_pinpoints": [[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]]}
ONE = {"size": {"height": 30, "width": 30},
       "image_grid_pinpoints": [[a * 30, b * 30] for a in range(1, 4) for b in range(1, 4)]}
CONFIGS = [
    (LlavaNextImageProcessor, NEXT),
    (LlavaNextImageProcessor, {**NEXT, "resample": 1, "size": {"height": 28, "width": 28}, "do_pad": False}),
    (LlavaNextImageProcessor, {**NEXT, "image_mean": [0.5, 0.4, 0.3], "do_center_crop": False}),
    (LlavaOnevisionImageProcessor, ONE),
    (LlavaOnevisionImageProcessor, {**ONE, "resample": 2, "image_std": [0.5, 0.5, 0.5]}),
]
SIZES = [(64, 48), (48, 64), (100, 100), (7, 5), (101, 97), (28, 90), (90, 28), (230, 31), (336, 224), (28, 28),
         (57, 56), (29, 200), (31, 33)]


def write(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("index", range(len(CONFIGS)))
def test_tiles_equal_transformers(tool, tmp_path, index):
    made, fields = CONFIGS[index]
    processor = made(**fields)
    processor.save_pretrained(tmp_path / "saved")
    sparse = write(tmp_path / "sparse", {"image_processor_type": made.__name__, **fields})
    rng = np.random.default_rng(index)
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        values = processor(Image.fromarray(image), input_data_format="channels_last")["pixel_values"]
        expected = np.asarray(values[0], np.float32)
        best = select_best_resolution((height, width), fields["image_grid_pinpoints"])
        side = expected.shape[-1]
        grid = (best[0] // side, best[1] // side)
        for folder in (tmp_path / "saved", sparse):
            got = tool.process_parts(folder, image)
            assert got.shape == expected.shape, (fields, (width, height))
            assert np.array_equal(got, expected), (fields, (width, height))
        assert tool.layout(sparse, width, height) == (side, side, len(expected), *grid)


def test_several_pictures_of_onevision_are_one_padded_tile_each(tool, tmp_path):
    processor = LlavaOnevisionImageProcessor(**ONE)
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(1)
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        both = [[Image.fromarray(image), Image.fromarray(image)]]
        values = processor(both, input_data_format="channels_last")["pixel_values"]
        expected = np.asarray(values[0], np.float32)
        assert np.array_equal(tool.process_parts(tmp_path, image, use="many"), expected)


def test_detail_low_is_the_overview_alone(tool, tmp_path):
    write(tmp_path, {"image_processor_type": "LlavaNextImageProcessor", **NEXT})
    image = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    whole = tool.process_parts(tmp_path, image)
    assert np.array_equal(tool.process_parts(tmp_path, image, use="low"), whole[:1])


@pytest.mark.parametrize("fields, word", [
    ({"crop_size": {"height": 28, "width": 29}}, "crop_size"),
    ({"size": {"height": 28, "width": 30}}, "size"),
    ({"size": {"longest_edge": 28}}, "size"),
    ({"image_grid_pinpoints": [[28, 57]]}, "image_grid_pinpoints"),
    ({"image_grid_pinpoints": []}, "image_grid_pinpoints"),
    ({"image_grid_pinpoints": [[28]]}, "image_grid_pinpoints"),
    ({"image_grid_pinpoints": [[28, -56]]}, "image_grid_pinpoints"),
    ({"image_grid_pinpoints": "28x56"}, "image_grid_pinpoints"),
])
def test_bad_fields_are_named(tool, tmp_path, fields, word):
    write(tmp_path, {"image_processor_type": "LlavaNextImageProcessor", **NEXT, **fields})
    with pytest.raises(MediaError, match=word):
        tool.layout(tmp_path, 10, 10)
