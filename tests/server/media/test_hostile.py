"""Damaged and lying files: an error, or the very picture Pillow sees; no crash, bounded memory."""

import re
import struct
import zlib

import numpy as np
import pytest

import raw_writers as raw
from corpus import corpus
from media_client import MediaError, MediaTool
from pillow_reference import pillow_decode

FILES = corpus()
SEEDS = {
    "png": ["png-2-8-n-64x33", "png-3-4-i-13x11", "png-0-16-n-13x11", "png-6-16-i-13x11", "exif6-png-late",
            "oriented-png-raw-profile-ztxt", "png-apng"],
    "jpeg": ["jpeg-420-65x40", "jpeg-progressive-65x40", "jpeg-cmyk-17x33", "jpeg-gray-17x33",
             "jpeg-restart-65x40", "exif6-jpeg"],
    "webp": ["webp-lossy-33x17", "webp-lossless-33x17", "webp-lossy-alpha-33x17", "webp-animated-alpha-33x17",
             "exif6-webp", "webp-frame-offset"],
    "gif": ["gif-lzw", "gif-lzw-16", "gif-animated", "gif-offset-transparent", "gif-interlaced"],
    "bmp": ["bmp-24-13x7", "bmp-8-13x7", "bmp-rle8", "bmp-rle4", "bmp-16-masks0-40-13x7",
            "bmp-32-masks3-124-13x7"],
}
MIB = 1 << 20


def check(tool, file, name):
    """True when the file was read."""
    try:
        got = tool.decode(file)
    except MediaError as error:
        assert re.fullmatch(r"[ -~]{1,250}", str(error)) and not re.search(r"\b0x[0-9a-f]{6}", str(error))
        return False
    expected = pillow_decode(file)
    assert expected is not None, f"{name}: read, but Pillow refuses it"
    assert got.shape == expected.shape, f"{name}: {got.shape} instead of {expected.shape}"
    assert np.array_equal(got, expected), f"{name}: differs from Pillow's picture"
    return True


@pytest.mark.parametrize("kind", SEEDS)
def test_truncated(tool, kind):
    for name in SEEDS[kind]:
        file = FILES[name]
        for length in range(0, len(file), 7):
            check(tool, file[:length], f"{name}[:{length}]")
        # Half a picture is no picture.
        with pytest.raises(MediaError):
            tool.decode(file[: len(file) // 2])


@pytest.mark.parametrize("kind", SEEDS)
def test_flipped_bits(tool, kind):
    rng = np.random.default_rng(len(kind))
    read = total = 0
    for name in SEEDS[kind]:
        for i in range(900 // len(SEEDS[kind])):
            damaged = bytearray(FILES[name])
            for _ in range(int(rng.integers(1, 4))):
                # Headers are small but decide most: half of the flips go there.
                end = min(len(damaged), 64) if rng.random() < 0.5 else len(damaged)
                damaged[int(rng.integers(0, end))] ^= 1 << int(rng.integers(0, 8))
            total += 1
            read += check(tool, bytes(damaged), f"{name} flip {i}")
    assert 0 < read < total


def bomb(width, height, rows=b"") -> bytes:
    return raw.png_bytes(width, height, 8, 2, zlib.compress(rows))


def jpeg_of(width, height) -> bytes:
    """Without an end marker: with one, decoders take the missing blocks for gray."""
    file = bytearray(FILES["jpeg-420-65x40"][:-2])
    at = file.index(b"\xff\xc0")
    file[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(file)


def webp_of(width, height) -> bytes:
    file = bytearray(FILES["exif6-webp"])
    file[24:30] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes(file)


def gif_of(width, height) -> bytes:
    return raw.gif(np.zeros((1, 1), int), screen=(width, height))


def bmp_of(width, height) -> bytes:
    return raw.bmp(width, height, 24, bytes(64))


@pytest.mark.parametrize("make", [bomb, jpeg_of, webp_of, gif_of, bmp_of])
def test_limits_before_memory(make):
    tool = MediaTool()
    tool.decode(FILES["jpeg-420-65x40"])
    before = tool.peak_memory()
    for width, height, words in [(20000, 20000, "in all"), (10000, 10000, "in all"), (40000, 1000, "a side"),
                                 (16000, 79, "times the shorter"), (1, 201, "times the shorter"),
                                 (201, 1, "times the shorter")]:
        if make is webp_of and width == 1:
            continue  # a still picture's size is fixed by its bitstream
        for call in (tool.probe, tool.decode):
            with pytest.raises(MediaError, match=words):
                call(make(width, height))
    assert tool.peak_memory() - before < 4 * MIB
    assert tool.close() == 0


@pytest.mark.parametrize("make", [bomb, jpeg_of, webp_of, bmp_of])
def test_lying_size_within_the_limits(make):
    """A small file that declares 64 megapixels costs their memory once, and only for a moment."""
    tool = MediaTool()
    with pytest.raises(MediaError):
        tool.decode(make(8000, 8000))
    assert tool.peak_memory() < 700 * MIB
    assert tool.close() == 0


@pytest.mark.parametrize("make", [bomb, jpeg_of, gif_of, bmp_of])
@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_empty(tool, make, size):
    if make is gif_of:  # the first frame would make the screen larger
        file = raw.gif(np.zeros((1, 1), int))
        file = file.replace(struct.pack("<HHHH", 0, 0, 1, 1), struct.pack("<HHHH", 0, 0, *size))
        file = file[:6] + struct.pack("<HH", *size) + file[10:]
    else:
        file = make(*size)
    with pytest.raises(MediaError, match="empty"):
        tool.probe(file)


def test_thin_but_allowed(tool):
    for width, height in [(1, 1), (1, 200), (200, 1), (3, 600)]:
        image = np.arange(width * height * 3).reshape(height, width, 3) % 256
        assert check(tool, raw.png(image, 8, 2), f"{width}x{height}")


def test_not_a_picture(tool):
    for file in [b"", b"x", b"BM", b"GIF89a", b"\xff\xd8\xff", b"RIFF", b"RIFF\0\0\0\0WEB", b"\x89PNG\r\n\x1a\n",
                 b"<svg></svg>", b"%PDF-1.4", b"II*\0" + bytes(100), b"RIFF\0\0\0\0WAVE" + bytes(100), bytes(1000)]:
        with pytest.raises(MediaError):
            tool.probe(file)
        with pytest.raises(MediaError):
            tool.decode(file)


def test_too_many_scans(tool):
    """A progressive JPEG may repeat its last scan for ever; libjpeg would follow."""
    file = FILES["jpeg-progressive-65x40"]
    scan = file.rindex(b"\xff\xda")
    with pytest.raises(MediaError, match="scans"):
        tool.decode(file[:-2] + file[scan:-2] * 500 + b"\xff\xd9")


def test_deflate_bombs_in_metadata(tool):
    huge = zlib.compress(bytes(64 * MIB))
    samples = np.zeros((4, 4, 3), int)
    before = tool.peak_memory()
    for key, prefix in ((b"Raw profile type exif\0\0", b"zTXt"), (b"XML:com.adobe.xmp\0\1\0\0\0", b"iTXt")):
        with pytest.raises(MediaError):
            tool.decode(raw.png(samples, 8, 2, raw.png_chunk(prefix, key + huge)))
    for kind in (b"iCCP", b"zTXt"):  # nobody reads these
        chunk = raw.png_chunk(kind, b"name\0\0" + huge)
        assert tool.decode(raw.png(samples, 8, 2, chunk)).shape == (4, 4, 3)
    assert tool.peak_memory() - before < 8 * MIB


def test_many_deflate_bombs_in_metadata(tool):
    """Each within the limit of one, a thousandth of it in the file: together they would take seconds."""
    text = zlib.compress(bytes(MIB))
    samples = np.zeros((4, 4, 3), int)
    for key, kind in ((b"Raw profile type exif\0\0", b"zTXt"), (b"XML:com.adobe.xmp\0\1\0\0\0", b"iTXt")):
        chunk = raw.png_chunk(kind, key + text)
        assert tool.decode(raw.png(samples, 8, 2, chunk * 8)).shape == (4, 4, 3)
        with pytest.raises(MediaError, match="text chunk"):
            tool.decode(raw.png(samples, 8, 2, chunk * 9))


def test_memory_is_given_back():
    tool = MediaTool()
    file = FILES["jpeg-progressive-65x40"]
    for _ in range(200):
        tool.decode(file)
    before = tool.peak_memory()
    for _ in range(3000):
        tool.decode(file)
        with pytest.raises(MediaError):
            tool.decode(file[:-200])
    assert tool.peak_memory() - before < MIB
    assert tool.close() == 0
