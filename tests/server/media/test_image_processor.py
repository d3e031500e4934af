"""pixel_values equal the slow (Pillow) image processors of transformers."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import (
    BlipImageProcessor,
    CLIPImageProcessor,
    LlavaImageProcessor,
    SiglipImageProcessor,
)

from media_client import MediaError

CLASSES = {
    "BlipImageProcessor": BlipImageProcessor,
    "CLIPImageProcessor": CLIPImageProcessor,
    "LlavaImageProcessor": LlavaImageProcessor,
    "SiglipImageProcessor": SiglipImageProcessor,
}

# class, fields. Every flag in both positions, every form of every size.
CONFIGS = [
    ("BlipImageProcessor", {}),
    ("BlipImageProcessor", {"size": {"height": 224, "width": 224}}),
    ("BlipImageProcessor", {"size": {"height": 42, "width": 56}, "resample": 2}),
    ("BlipImageProcessor", {"size": 70, "resample": 1, "do_normalize": False}),
    ("BlipImageProcessor", {"size": {"height": 60, "width": 60}, "do_rescale": False}),
    ("BlipImageProcessor", {"do_resize": False, "rescale_factor": 0.00784313725490196}),
    ("CLIPImageProcessor", {}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}),
    ("CLIPImageProcessor", {"size": 56, "crop_size": 48}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 40}, "crop_size": {"height": 61, "width": 44}}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 41}, "crop_size": [38, 77], "resample": 1}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 50}, "do_center_crop": False}),
    ("CLIPImageProcessor", {"size": {"height": 33, "width": 77}, "do_center_crop": False, "resample": 0}),
    ("CLIPImageProcessor", {"do_resize": False, "crop_size": {"height": 97, "width": 90}}),
    ("CLIPImageProcessor", {"do_resize": False, "do_center_crop": False, "do_rescale": False,
                            "do_normalize": False}),
    ("CLIPImageProcessor", {"do_rescale": False, "image_mean": [120.5, 110.25, 100.125], "image_std": 50.0}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 30, "longest_edge": 35}, "crop_size": 30,
                            "do_convert_rgb": False}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": 64, "resample": 5}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": 64, "resample": 4}),
    ("SiglipImageProcessor", {}),
    ("SiglipImageProcessor", {"size": {"height": 96, "width": 64}, "image_mean": [0.1, 0.2, 0.3]}),
    ("SiglipImageProcessor", {"size": {"height": 28, "width": 28}, "rescale_factor": 1 / 127.5}),
    ("LlavaImageProcessor", {}),
    ("LlavaImageProcessor", {"do_pad": True, "size": {"shortest_edge": 84}, "crop_size": 84}),
    ("LlavaImageProcessor", {"do_pad": True, "do_resize": False, "do_center_crop": False,
                             "image_mean": [0.5, 0.25, 0.125]}),
]
SIZES = [(64, 48), (48, 64), (100, 100), (7, 5), (101, 97), (4, 90), (90, 4), (230, 11), (336, 224), (2, 2)]


def write(folder, name: str, content: dict):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


def reference(processor, image: np.ndarray) -> np.ndarray:
    # The channel axis is named: transformers guesses wrong for pictures of height 1 or 3.
    values = processor(Image.fromarray(image), input_data_format="channels_last")["pixel_values"]
    return np.asarray(values[0], np.float32)


@pytest.mark.parametrize("index", range(len(CONFIGS)))
def test_equals_transformers(tool, tmp_path, index):
    name, fields = CONFIGS[index]
    processor = CLASSES[name](**fields)
    processor.save_pretrained(tmp_path)
    sparse = write(tmp_path / "sparse", "preprocessor_config.json",
                   {"image_processor_type": name, **fields})
    rng = np.random.default_rng(index)
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = reference(processor, image)
        for folder in (tmp_path, sparse):
            got = tool.process(folder, image)
            assert got.shape == expected.shape, (name, fields, (width, height))
            assert np.abs(got - expected).max() <= 1e-6
            # The 8-bit picture is the same one, and so are all the roundings behind it.
            assert np.array_equal(got, expected), (name, fields, (width, height))
        assert tool.processed_size(tmp_path, width, height) == expected.shape[1:]


def test_class_names_and_dialects(tool, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    fields = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    expected = reference(CLIPImageProcessor(**fields), image)
    for i, (key, name) in enumerate([
        ("image_processor_type", "CLIPImageProcessor"), ("image_processor_type", "CLIPImageProcessorFast"),
        ("image_processor_type", "CLIPImageProcessorPil"), ("feature_extractor_type", "CLIPFeatureExtractor"),
    ]):
        content = {key: name, "device": None, "do_pad": None, "data_format": "channels_first", **fields}
        old = write(tmp_path / f"old{i}", "preprocessor_config.json", content)
        new = write(tmp_path / f"new{i}", "processor_config.json",
                    {"image_processor": content, "patch_size": 14, "processor_class": "LlavaProcessor"})
        for folder in (old, new):
            assert np.array_equal(tool.process(folder, image), expected)
    both = write(tmp_path / "both", "preprocessor_config.json",
                 {"image_processor_type": "CLIPImageProcessor", **fields})
    write(both, "processor_config.json", {"image_processor_seq_length": 576})
    assert np.array_equal(tool.process(both, image), expected)
    unnamed = write(tmp_path / "unnamed", "preprocessor_config.json", dict(fields))
    write(unnamed, "config.json", {"model_type": "llava"})
    assert np.array_equal(tool.process(unnamed, image), expected)


@pytest.mark.parametrize("content, words", [
    ({"image_processor_type": "ViltImageProcessor"}, "image_processor_type"),
    ({"image_processor_type": 3}, "image_processor_type"),
    ({}, "image_processor_type: missing"),
    ({"image_processor_type": "CLIPImageProcessor", "size": "224"}, "size"),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"longest_edge": 4}}, "size"),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 0}}, "size.shortest_edge"),
    ({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 1e9}}, "size.shortest_edge"),
    ({"image_processor_type": "BlipImageProcessor", "size": {"shortest_edge": 224}}, "size"),
    ({"image_processor_type": "SiglipImageProcessor", "size": 224}, "size"),
    ({"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": 1}}, "crop_size"),
    ({"image_processor_type": "CLIPImageProcessor", "resample": 9}, "resample"),
    ({"image_processor_type": "CLIPImageProcessor", "do_resize": 1}, "do_resize"),
    ({"image_processor_type": "CLIPImageProcessor", "image_mean": [1, 2]}, "image_mean"),
    ({"image_processor_type": "CLIPImageProcessor", "image_std": [1, 0, 1]}, "image_std"),
    ({"image_processor_type": "CLIPImageProcessor", "rescale_factor": "x"}, "rescale_factor"),
])
def test_bad_files_name_the_field(tool, tmp_path, content, words):
    folder = write(tmp_path / "model", "preprocessor_config.json", content)
    with pytest.raises(MediaError, match=words) as error:
        tool.processed_size(folder, 10, 10)
    assert "preprocessor_config.json" in str(error.value) and "\n" not in str(error.value)


def test_broken_files(tool, tmp_path):
    with pytest.raises(MediaError, match="neither"):
        tool.processed_size(tmp_path, 10, 10)
    for text in ["", "[]", "{", "null", "[" * 100000, '{"a":' * 100000]:
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(MediaError, match="preprocessor_config.json"):
            tool.processed_size(tmp_path, 10, 10)
    (tmp_path / "preprocessor_config.json").unlink()
    write(tmp_path, "processor_config.json", {"image_processor": 5})
    with pytest.raises(MediaError, match="image_processor"):
        tool.processed_size(tmp_path, 10, 10)


def test_growth_is_bounded(tool, tmp_path):
    folder = write(tmp_path / "model", "preprocessor_config.json",
                   {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 4096}})
    with pytest.raises(MediaError, match="too long and narrow"):
        tool.process(folder, np.zeros((1, 200, 3), np.uint8))
    with pytest.raises(MediaError, match="too long and narrow"):
        tool.processed_size(folder, 200, 1)
