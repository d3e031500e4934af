"""The pictures all golden checkpoints share: six small files of different kinds and aspect ratios, and a clip's
frames."""

import pathlib

import numpy as np
from PIL import Image, ImageDraw

ORIENTATION = 0x0112
CLIP_FRAMES = 7


def _scene(width, height, seed):
    """A gradient with noise, a disc, a box and a hard diagonal: smooth parts, edges and texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (width + height)], axis=-1)
    base = (base[..., rng.permutation(3)] + rng.normal(0, 12, base.shape)).clip(0, 255)
    image = Image.fromarray(base.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    colors = [tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(3)]
    draw.ellipse([width // 8, height // 6, width // 2, height // 2], fill=colors[0])
    draw.rectangle([width // 2, height // 2, width - 4, height - 5], fill=colors[1])
    draw.line([0, height - 1, width - 1, 0], fill=colors[2], width=2)
    return image


def _frame(index):
    """A disc that crosses a gradient: no two frames are alike."""
    width, height = 34, 25
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([200 * x / width, 30 * index + y, 255 - 220 * y / height], axis=-1)
    image = Image.fromarray(base.clip(0, 255).astype(np.uint8))
    left = 4 * index
    ImageDraw.Draw(image).ellipse([left, 6, left + 9, 15], fill=(250, 220 - 25 * index, 40))
    return image


def make_pictures(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _scene(61, 45, 1).save(folder / "scene.png")
    _scene(40, 97, 2).save(folder / "tall.jpg", quality=90)
    _scene(120, 33, 3).quantize(32).save(folder / "wide_palette.png")
    _scene(42, 42, 4).convert("L").save(folder / "gray_exact.png")
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # stored on its side: viewers turn it by 90 degrees
    _scene(90, 70, 5).save(folder / "turned.jpg", quality=85, exif=exif)
    rgba = _scene(50, 64, 6).convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    rgba.save(folder / "alpha.png")
    for i in range(CLIP_FRAMES):
        _frame(i).save(folder / f"frame{i}.jpg", quality=80)
