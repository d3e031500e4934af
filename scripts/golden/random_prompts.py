"""Random prompts for a random shape: words of many kinds, pictures of all sizes and modes, clips of frames."""

import numpy as np
from PIL import Image

import cases
from pictures import ORIENTATION

WORDS = (
    "red circle",
    "blue",
    "Stra\u00dfe \u4e2d\u6587 \U0001f600",
    "  two  spaces ",
    "na\u00efve caf\u00e9",
    "def f(x):\n\treturn x",
    "1234567 + 89",
    "[REF] TOOL",
    "don't",
    "\u00e9\u0301\u200d \u2581x",
    "A\nB\n\nC",
)
ONE_PICTURE = ("blip-2", "instructblip")
NO_PICTURE = ("instructblipvideo",)
VIDEOS = ("llava_next_video", "llava_onevision", "video_llava", "qwen2_vl", "qwen2_5_vl", "smolvlm")


def prompts(rng, spec, folder, count):
    """Messages, or a str: a raw completion. Pictures are written to `folder`."""
    return [_prompt(rng, spec, folder, i) for i in range(count)]


def _words(rng, far=False):
    parts = [rng.choice(cases.QUESTIONS)] + [rng.choice(WORDS) for _ in range(rng.randint(0, 3))]
    rng.shuffle(parts)
    if far:  # beyond the original length of scaled ropes
        parts.append(cases.POEM)
    return " ".join(parts)


def _prompt(rng, spec, folder, number):
    from decoders import text_only

    far = spec.pictures.get("far", False) and number % 2 == 1
    if text_only(spec.family):
        if rng.maybe(0.4):
            return _words(rng, far)
        return _turns(rng, lambda: _words(rng, far))
    if spec.family in ONE_PICTURE + NO_PICTURE:
        if spec.family in NO_PICTURE:
            return [_turn(_words(rng), [], [_clip(rng, folder, number, 4)])]
        pictures = [_picture(rng, folder, f"{number}")] if rng.maybe(0.8) else []
        return [_turn(_words(rng), pictures, [])]
    counts = [0, 1, 1, 1, 2, 3]
    pictures = [_picture(rng, folder, f"{number}_{i}") for i in range(rng.choice(counts))]
    clips = []
    if spec.family in VIDEOS and rng.maybe(0.4):
        clips = [_clip(rng, folder, number, rng.randint(1, 5))]
        if spec.family == "smolvlm":  # its processor forgets videos beside pictures
            pictures = []
    message = _turn(_words(rng), pictures, clips)
    if (pictures or clips) and rng.maybe(0.3):  # words between them, too
        message["content"].insert(0, {"type": "text", "text": _words(rng)})
        rng.shuffle(message["content"])
    turns = _turns(rng, lambda: _words(rng), message)
    if pictures and rng.maybe(0.2):  # the pictures were shown before
        answer = {"role": "assistant", "content": rng.choice(cases.QUESTIONS)}
        turns += [answer, {"role": "user", "content": _words(rng)}]
    return turns


def _turn(words, pictures, clips):
    if not pictures and not clips:
        return {"role": "user", "content": words}
    parts = [{"type": "image_url", "image_url": {"url": p}} for p in pictures]
    parts += [{"type": "video", "frames": clip} for clip in clips]
    return {"role": "user", "content": parts + [{"type": "text", "text": words}]}


def _turns(rng, words, last=None):
    turns = [cases.SYSTEM] if rng.maybe(0.2) else []
    if rng.maybe(0.3):
        turns += [{"role": "user", "content": words()}]
        turns += [{"role": "assistant", "content": rng.choice(cases.QUESTIONS)}]
    return turns + [last or {"role": "user", "content": words()}]


def _noise(rng, width, height):
    values = np.random.default_rng(rng.randint(0, 1 << 30))
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([255 * x / width, 255 * y / height, 128 + 127 * np.sin(x * y / 40)], axis=-1)
    noisy = base + values.normal(0, 20, base.shape) + values.integers(-60, 60, 3)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _size(rng):
    side = lambda: rng.one(rng.randint(9, 40), rng.randint(30, 120), rng.randint(100, 400))
    if rng.maybe(0.15):  # strips; of still longer ones the library takes rows for channels on the way
        strip = [rng.randint(12, 20), rng.randint(60, 120)]
        rng.shuffle(strip)
        return tuple(strip)
    return side(), side()


def _picture(rng, folder, name):
    image = _noise(rng, *_size(rng))
    mode = rng.one("rgb", "rgb", "gray", "palette", "alpha", "gray_alpha", "cmyk", "16bit", "exif", "1")
    path, options = folder / f"{name}.png", {}
    if mode == "gray":
        image = image.convert("L")
    elif mode == "palette":
        image = image.quantize(24)
    elif mode == "alpha":
        image = image.convert("RGBA")
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    elif mode == "gray_alpha":
        image = image.convert("LA")
    elif mode == "cmyk":
        image, path = image.convert("CMYK"), path.with_suffix(".jpg")
    elif mode == "16bit":
        levels = np.asarray(image.convert("L")).astype(np.uint16) * 200
        image = Image.fromarray(levels)
    elif mode == "exif":
        exif, path = Image.Exif(), path.with_suffix(".jpg")
        exif[ORIENTATION] = rng.randint(1, 8)
        options = {"exif": exif, "quality": rng.randint(40, 95)}
    elif mode == "1":
        image = image.convert("1")
    image.save(path, **options)
    return str(path)


def _clip(rng, folder, number, frames):
    size, paths = _size(rng), []
    for i in range(frames):
        paths.append(str(folder / f"{number}_frame{i}.png"))
        _noise(rng, *size).save(paths[-1])
    return paths
