"""resize() equals Pillow's Image.resize bit for bit."""

import numpy as np
import pytest
from PIL import Image

NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)

# (width, height) -> (width, height)
SIZES = [
    ((64, 48), (64, 48)), ((64, 48), (64, 20)), ((64, 48), (20, 48)), ((64, 48), (32, 24)),
    ((64, 48), (128, 96)), ((64, 48), (63, 47)), ((64, 48), (65, 49)), ((64, 48), (1, 1)),
    ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((1, 9), (4, 4)), ((9, 1), (4, 4)),
    ((2, 2), (3, 3)), ((3, 3), (2, 2)), ((5, 7), (7, 5)), ((7, 5), (224, 224)),
    ((2, 300), (64, 64)), ((300, 2), (64, 64)), ((1, 200), (30, 30)), ((200, 1), (30, 30)),
    ((640, 480), (224, 224)), ((480, 640), (224, 224)), ((640, 480), (336, 336)),
    ((640, 480), (384, 384)), ((640, 480), (448, 336)), ((640, 480), (298, 224)),
    ((333, 500), (224, 336)), ((333, 500), (336, 504)), ((500, 333), (504, 336)),
    ((500, 375), (28, 28)), ((375, 500), (14, 14)), ((511, 513), (512, 512)),
    ((513, 511), (512, 512)), ((512, 512), (511, 513)), ((512, 512), (256, 256)),
    ((512, 512), (1024, 1024)), ((257, 129), (100, 300)), ((129, 257), (300, 100)),
    ((800, 600), (42, 42)), ((600, 800), (42, 42)), ((1024, 768), (224, 224)),
    ((1024, 768), (980, 735)), ((1280, 720), (398, 224)), ((720, 1280), (224, 398)),
    ((1920, 1080), (597, 336)), ((1920, 1080), (224, 224)), ((1080, 1920), (448, 448)),
    ((224, 224), (225, 223)), ((225, 223), (224, 224)), ((100, 100), (99, 101)),
    ((17, 31), (97, 89)), ((97, 89), (17, 31)), ((1000, 10), (500, 5)), ((10, 1000), (5, 500)),
    ((1999, 11), (13, 7)), ((11, 1999), (7, 13)), ((6, 6), (96, 96)), ((96, 96), (6, 6)),
    ((333, 333), (111, 111)), ((111, 111), (333, 333)), ((320, 240), (240, 320)),
    ((255, 255), (254, 256)), ((768, 1024), (384, 512)), ((31, 31), (13, 29)),
    ((2560, 1440), (364, 364)), ((1365, 2048), (672, 1008)),
]
assert len(SIZES) >= 60


def picture(width: int, height: int) -> np.ndarray:
    """Noise, hard black-white edges (overshoot) and a smooth ramp, side by side."""
    rng = np.random.default_rng(width * 100003 + height)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    edges = ((x // 3 + y // 5) % 2 * 255).astype(np.uint8)
    image[:, : width // 3] = edges[:, : width // 3, None]
    image[:, width // 3 : width // 2, 1] = (y * 255 // max(1, height - 1))[:, width // 3 : width // 2]
    return image


def check(tool, source, target, filter):
    image = picture(*source)
    expected = np.array(Image.fromarray(image).resize(target, resample=filter))
    for portable in (False, True):
        got = tool.resize(image, *target, filter, portable)
        assert np.array_equal(got, expected), (
            f"{source} -> {target}, filter {filter}, portable {portable}: "
            f"{(got != expected).mean():.4f} of the samples differ"
        )


@pytest.mark.parametrize("filter", [BILINEAR, BICUBIC, LANCZOS])
def test_equals_pillow(tool, filter):
    for source, target in SIZES:
        check(tool, source, target, filter)


@pytest.mark.parametrize("filter", [NEAREST, BOX, HAMMING])
def test_other_filters_equal_pillow(tool, filter):
    for source, target in SIZES[::2]:
        check(tool, source, target, filter)


def test_random_sizes_equal_pillow(tool):
    rng = np.random.default_rng(1)
    for _ in range(150):
        source = tuple(int(v) for v in rng.integers(1, 150, 2))
        target = tuple(int(v) for v in rng.integers(1, 150, 2))
        check(tool, source, target, int(rng.integers(0, 6)))
