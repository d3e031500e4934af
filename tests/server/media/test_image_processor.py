"""pixel_values equal the slow (Pillow) image processors of transformers."""

import json
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image
from transformers import (
    BlipImageProcessor,
    CLIPImageProcessor,
    Idefics2ImageProcessor,
    IdeficsImageProcessor,
    Idefics3ImageProcessor,
    LlavaImageProcessor,
    PixtralImageProcessor,
    Qwen2VLImageProcessor,
    SiglipImageProcessor,
    SmolVLMImageProcessor,
)
from transformers.models.idefics3.image_processing_idefics3 import get_resize_output_image_size
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from media_client import MediaError

sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "scripts" / "golden"))
from open_clip_pictures import OpenClipImageProcessor  # noqa: E402

CLASSES = {
    "BlipImageProcessor": BlipImageProcessor,
    "CLIPImageProcessor": CLIPImageProcessor,
    "IdeficsImageProcessor": IdeficsImageProcessor,
    "LlavaImageProcessor": LlavaImageProcessor,
    "OpenClipImageProcessor": OpenClipImageProcessor,
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
    ("IdeficsImageProcessor", {}),
    ("IdeficsImageProcessor", {"image_size": 42, "image_std": [0.2, 0.3, 0.4], "rescale_factor": 1 / 127.5}),
    ("LlavaImageProcessor", {}),
    ("LlavaImageProcessor", {"do_pad": True, "size": {"shortest_edge": 84}, "crop_size": 84}),
    ("LlavaImageProcessor", {"do_pad": True, "do_resize": False, "do_center_crop": False,
                             "image_mean": [0.5, 0.25, 0.125]}),
    ("OpenClipImageProcessor", {}),
    ("OpenClipImageProcessor", {"size": {"shortest_edge": 41}, "crop_size": {"height": 41, "width": 41}}),
    ("OpenClipImageProcessor", {"size": {"shortest_edge": 33}, "crop_size": {"height": 50, "width": 20}}),
]
SIZES = [(64, 48), (48, 64), (100, 100), (7, 5), (101, 97), (4, 90), (90, 4), (230, 11), (336, 224), (2, 2)]


def write(folder, name: str, content: dict):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


def reference(processor, image: np.ndarray) -> np.ndarray:
    # The channel axis is named: transformers guesses wrong for pictures of height 1 or 3.
    made = processor(Image.fromarray(image), input_data_format="channels_last", return_tensors="np")
    values = made["pixel_values"] if hasattr(made, "keys") else made  # IDEFICS gives the tensor alone
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


def test_idefics_of_fifth_takes_the_steps_its_file_says(tool, tmp_path):
    """Its files have image_size, as those before, beside a size and the fields that all classes share."""
    fields = {"size": {"height": 42, "width": 42}, "resample": 2, "do_normalize": False}
    idefics = write(tmp_path / "idefics", "preprocessor_config.json",
                    {"image_processor_type": "IdeficsImageProcessor", "image_size": 42, **fields})
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    expected = reference(CLASSES["BlipImageProcessor"](**fields), image)
    assert np.array_equal(tool.process(idefics, image), expected)


# The classes that cut a picture into tiles: class, fields.
SPLITTING = [
    ("Idefics3ImageProcessor", {}),
    ("Idefics3ImageProcessor", {"size": {"longest_edge": 96}, "max_image_size": {"longest_edge": 24}}),
    ("Idefics3ImageProcessor", {"size": {"longest_edge": 91}, "max_image_size": {"longest_edge": 30}, "resample": 2}),
    ("Idefics3ImageProcessor", {"size": {"longest_edge": 5000}, "max_image_size": {"longest_edge": 2048}}),
    ("SmolVLMImageProcessor", {"size": {"longest_edge": 60}, "max_image_size": {"longest_edge": 60}}),
    ("SmolVLMImageProcessor", {"size": {"height": 50, "width": 40}, "max_image_size": {"longest_edge": 20}}),
    ("SmolVLMImageProcessor", {"do_image_splitting": False, "size": {"longest_edge": 70},
                               "max_image_size": {"longest_edge": 32}, "image_mean": [0.1, 0.2, 0.3]}),
    ("SmolVLMImageProcessor", {"do_resize": False, "max_image_size": {"longest_edge": 33}}),
]


@pytest.mark.parametrize("index", range(len(SPLITTING)))
def test_tiles_equal_transformers(tool, tmp_path, index):
    name, fields = SPLITTING[index]
    processor = {"Idefics3ImageProcessor": Idefics3ImageProcessor,
                 "SmolVLMImageProcessor": SmolVLMImageProcessor}[name](**fields)
    processor.save_pretrained(tmp_path)
    sparse = write(tmp_path / "sparse", "preprocessor_config.json",
                   {"image_processor_type": name, **fields})
    rng = np.random.default_rng(index)
    large = max(fields.get("size", {"longest_edge": 1456}).values()) > 1000
    for width, height in [(90, 61), (7, 40)] if large else SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made = processor([[Image.fromarray(image)]], input_data_format="channels_last",
                         return_row_col_info=True)
        expected = np.asarray(made["pixel_values"][0], np.float32)
        rows, columns = made["rows"][0][0], made["cols"][0][0]
        for folder in (tmp_path, sparse):
            got = tool.process_parts(folder, image)
            assert np.array_equal(got, expected), (name, fields, (width, height))
        layout = (*expected.shape[2:], len(expected), rows, columns)
        assert tool.layout(tmp_path, width, height) == layout


def empty(height: int, width: int) -> np.ndarray:
    """A picture without memory of its own."""
    return np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (height, width, 3))


def test_tiles_of_many_sizes(tool, tmp_path, monkeypatch):
    """The processor's own plan for sizes that would take long to resize: its steps, with pictures of no content."""

    def resize(self, image, size, **_):
        if "longest_edge" in size:
            return empty(*get_resize_output_image_size(image, size["longest_edge"], "channels_last"))
        return empty(size["height"], size["width"])

    monkeypatch.setattr(Idefics3ImageProcessor, "resize", resize)
    for fields in ({}, {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
                   {"size": {"longest_edge": 6000}, "max_image_size": {"longest_edge": 384}},
                   {"size": {"longest_edge": 1001}, "max_image_size": {"longest_edge": 101}}):
        processor = Idefics3ImageProcessor(**fields)
        processor.save_pretrained(tmp_path)
        tile = processor.max_image_size["longest_edge"]
        for width in (1, 2, 33, 363, 364, 365, 511, 513, 899, 1024, 1456, 2047, 4097, 8000):
            for height in (1, 3, 64, 365, 512, 728, 1025, 1537, 3001):
                image = processor.resize(empty(height, width), processor.size)
                image = processor.resize_for_vision_encoder(
                    image, tile, input_data_format="channels_last")
                tiles, rows, columns = processor.split_image(
                    image, {"longest_edge": tile}, data_format="channels_last",
                    input_data_format="channels_last")
                expected = (tile, tile, len(tiles), rows, columns)
                assert tool.layout(tmp_path, width, height) == expected, (width, height, fields)


BOUNDED = [
    {"size": {"shortest_edge": 20, "longest_edge": 50}},
    {"size": {"shortest_edge": 30, "longest_edge": 33}, "resample": 3, "do_image_splitting": True},
    {"size": {"height": 24, "width": 31}, "do_image_splitting": True},
    {"do_resize": False, "do_image_splitting": True, "image_std": [0.25, 0.5, 1.0]},
    {},
]


@pytest.mark.parametrize("index", range(len(BOUNDED)))
def test_bounded_resize_equals_transformers(tool, tmp_path, index):
    fields = BOUNDED[index]
    processor = Idefics2ImageProcessor(**fields)
    processor.save_pretrained(tmp_path)
    rng = np.random.default_rng(index)
    for width, height in SIZES if fields else [(90, 61), (1200, 40)]:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made = processor([[Image.fromarray(image)]], input_data_format="channels_last")
        expected = []
        for values, mask in zip(made["pixel_values"][0], made["pixel_attention_mask"][0]):
            high, wide = int(mask[:, 0].sum()), int(mask[0].sum())
            expected.append(np.asarray(values[:, :high, :wide], np.float32))
        got = tool.process_sized(tmp_path, image)
        assert [part.shape for part in got] == [part.shape for part in expected]
        for ours, theirs in zip(got, expected):
            assert np.array_equal(ours, theirs), (fields, (width, height))
        layout = tool.layout(tmp_path, width, height)
        assert layout[:3] == (*expected[-1].shape[1:], len(expected))


def test_pictures_too_small_to_split(tool, tmp_path):
    Idefics2ImageProcessor(do_image_splitting=True).save_pretrained(tmp_path)
    with pytest.raises(MediaError, match="at least 2 pixels"):
        tool.layout(tmp_path, 1, 50)


# The picture processor's fields, the joined processor's patches.
WHOLE_PATCHES = [
    ({}, {}),
    ({"size": {"longest_edge": 50}}, {"patch_size": 7}),
    ({"size": {"height": 40, "width": 90}, "resample": 1}, {"patch_size": 6, "spatial_merge_size": 2}),
    ({"do_resize": False, "patch_size": {"height": 5, "width": 5}}, {"patch_size": 4, "spatial_merge_size": 3}),
]


@pytest.mark.parametrize("index", range(len(WHOLE_PATCHES)))
def test_whole_patches_equal_transformers(tool, tmp_path, index):
    fields, outer = WHOLE_PATCHES[index]
    processor = PixtralImageProcessor(**fields)
    processor.save_pretrained(tmp_path)
    nested = write(tmp_path / "nested", "processor_config.json", {
        "image_processor": {"image_processor_type": "PixtralImageProcessor", **fields}, **outer})
    write(tmp_path, "processor_config.json", outer)
    patch = outer.get("patch_size", 16) * outer.get("spatial_merge_size", 1)
    rng = np.random.default_rng(index)
    for width, height in SIZES if fields else [(90, 61), (1200, 40)]:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made = processor([Image.fromarray(image)], patch_size=patch, input_data_format="channels_last")
        for folder in (tmp_path, nested):
            assert np.array_equal(tool.process(folder, image), made["pixel_values"][0]), (fields, (width, height))


def test_pictures_of_which_no_patch_is_left(tool, tmp_path):
    write(tmp_path, "preprocessor_config.json", {"image_processor_type": "PixtralImageProcessor"})
    with pytest.raises(MediaError, match="nothing is left"):
        tool.layout(tmp_path, 1, 1025)
    assert tool.layout(tmp_path, 1, 1024)[:2] == (1024, 16)


SMART = [
    {},
    {"min_pixels": 4 * 28 * 28, "max_pixels": 16 * 28 * 28},
    {"patch_size": 6, "min_pixels": 400, "max_pixels": 3000, "resample": 2},
    {"patch_size": 5, "merge_size": 3, "min_pixels": 1, "max_pixels": 900, "image_mean": [0.1, 0.2, 0.3]},
]


@pytest.mark.parametrize("index", range(len(SMART)))
def test_smart_resize_equals_transformers(tool, tmp_path, index):
    fields = SMART[index]
    processor = Qwen2VLImageProcessor(**fields)
    processor.save_pretrained(tmp_path)
    # As 5.x writes it: the numbers of pixels in `size` alone.
    edges = {"shortest_edge": processor.min_pixels, "longest_edge": processor.max_pixels}
    plain = {k: v for k, v in fields.items() if k not in ("min_pixels", "max_pixels")}
    nested = write(tmp_path / "nested", "processor_config.json", {
        "image_processor": {"image_processor_type": "Qwen2VLImageProcessor", "size": edges, **plain}})
    patch, merge = processor.patch_size, processor.merge_size
    rng = np.random.default_rng(index)
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        made = processor([Image.fromarray(image)], input_data_format="channels_last")
        (_, rows, columns), patches = made["image_grid_thw"][0], made["pixel_values"]
        blocks = np.asarray(patches, np.float32).reshape(
            rows // merge, columns // merge, merge, merge, 3, 2, patch, patch)
        frames = blocks.transpose(5, 4, 0, 2, 6, 1, 3, 7).reshape(2, 3, rows * patch, columns * patch)
        assert np.array_equal(frames[0], frames[1])
        for folder in (tmp_path, nested):
            assert np.array_equal(tool.process(folder, image), frames[0]), (fields, (width, height))


def test_smart_resize_of_many_sizes(tool, tmp_path):
    sides = (1, 13, 14, 27, 28, 41, 42, 43, 70, 98, 126, 333, 640, 899, 1024, 2000, 4001, 6000)
    for fields in SMART:
        processor = Qwen2VLImageProcessor(**fields)
        processor.save_pretrained(tmp_path)
        unit = processor.patch_size * processor.merge_size
        for width in sides:
            for height in sides:
                try:
                    expected = smart_resize(
                        height, width, unit, processor.min_pixels, processor.max_pixels)
                except ValueError:
                    with pytest.raises(MediaError, match="200 times"):
                        tool.layout(tmp_path, width, height)
                    continue
                assert tool.layout(tmp_path, width, height) == (*expected, 1, 0, 0)


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
    ({"image_processor_type": "Idefics3ImageProcessor", "size": {"shortest_edge": 9}}, "size"),
    ({"image_processor_type": "Idefics3ImageProcessor", "size": 9}, "size"),
    ({"image_processor_type": "SmolVLMImageProcessor", "max_image_size": 9}, "max_image_size"),
    ({"image_processor_type": "SmolVLMImageProcessor", "max_image_size": {"longest_edge": 0}},
     "max_image_size.longest_edge"),
    ({"image_processor_type": "SmolVLMImageProcessor", "do_image_splitting": 1}, "do_image_splitting"),
    ({"image_processor_type": "Qwen2VLImageProcessor", "size": {"shortest_edge": 4}}, "size"),
    ({"image_processor_type": "Idefics2ImageProcessor", "size": {"longest_edge": 4}}, "size"),
    ({"image_processor_type": "Idefics2ImageProcessor",
      "size": {"shortest_edge": 0, "longest_edge": 4}}, "size.shortest_edge"),
    ({"image_processor_type": "Qwen2VLImageProcessor",
      "size": {"shortest_edge": 0, "longest_edge": 4}}, "size.shortest_edge"),
    ({"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 9, "max_pixels": 8}, "max_pixels"),
    ({"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 0}, "patch_size"),
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
