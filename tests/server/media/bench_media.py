"""Resizing and decoding against Pillow, one thread, best of several runs.

    SACCADE_BUILD_DIR=build taskset -c 0 .venv/bin/python tests/server/media/bench_media.py
"""

import io
import struct
import time

import numpy as np
from PIL import Image

from media_client import MediaTool

FILTERS = {"bicubic": 3, "lanczos": 1, "bilinear": 2}
RESIZES = [((3840, 2160), (448, 448)), ((1920, 1080), (336, 336)), ((640, 480), (224, 224)),
           ((224, 224), (448, 448))]
DECODES = [("PNG", {}), ("JPEG", {"quality": 90}), ("JPEG", {"quality": 90, "progressive": True}),
           ("WEBP", {"quality": 80}), ("WEBP", {"lossless": True, "method": 0}), ("GIF", {}), ("BMP", {})]


def picture(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / width, y * 255 / height, 128 + 100 * np.sin(x / 20) * np.cos(y / 30)], -1)
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def best(function, runs: int) -> float:
    """Milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def ours(tool: MediaTool, runs: int, *arguments) -> float:
    """Milliseconds inside the library, without the pipe."""
    repeats = struct.pack("<I", 2)
    return min(struct.unpack("<d", tool.call("b", repeats, *arguments))[0] for _ in range(runs))


def main():
    tool = MediaTool()
    for source, target in RESIZES:
        pixels = picture(*source)
        image = Image.fromarray(pixels)
        for name, filter in FILTERS.items():
            pillow = best(lambda: image.resize(target, filter), 7)
            measured = [ours(tool, 5, "r", struct.pack("<6I", *source, *target, filter, portable),
                             pixels.tobytes()) for portable in (0, 1)]
            print(f"resize {source[0]}x{source[1]} -> {target[0]}x{target[1]} {name}: Pillow {pillow:.2f} ms, "
                  f"saccade {measured[0]:.2f} ms (without AVX2 {measured[1]:.2f} ms)", flush=True)
    out = io.BytesIO()
    Image.fromarray(picture(3840, 2160)).save(out, "JPEG", quality=90)
    file = out.getvalue()
    for target in ((224, 224), (448, 448)):
        pillow = best(lambda: Image.open(io.BytesIO(file)).convert("RGB").resize(target, FILTERS["bicubic"]), 5)
        resize = ours(tool, 5, "r", struct.pack("<6I", 3840, 2160, *target, FILTERS["bicubic"], 0),
                      picture(3840, 2160).tobytes())
        print(f"a 3840x2160 JPEG ({len(file) >> 10} KiB) from file to {target[0]}x{target[1]}: Pillow {pillow:.1f} ms, "
              f"saccade {ours(tool, 4, 'd', file) + resize:.1f} ms", flush=True)
    image = Image.fromarray(picture(1920, 1080))
    for format, options in DECODES:
        out = io.BytesIO()
        (image.quantize(256) if format == "GIF" else image).save(out, format, **options)
        file = out.getvalue()
        pillow = best(lambda: Image.open(io.BytesIO(file)).convert("RGB"), 5)
        print(f"decode {format} {options} 1920x1080, {len(file) >> 10} KiB: Pillow {pillow:.1f} ms, "
              f"saccade {ours(tool, 4, 'd', file):.1f} ms", flush=True)


if __name__ == "__main__":
    main()
