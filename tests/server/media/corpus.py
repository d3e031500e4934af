"""Small pictures in every format and mode the server reads: name -> file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

import raw_writers as raw

RNG = np.random.default_rng(20)
RAMP = bytes(v for i in range(256) for v in (i, i, i))
COLORS = RNG.integers(0, 256, 768, dtype=np.uint8).tobytes()
RAW_PROFILE = b"Raw profile type exif"


def noise(*shape, top=256) -> np.ndarray:
    return RNG.integers(0, top, shape)


def scene(width, height, channels=3) -> np.ndarray:
    """Smooth colours with some noise and an edge: what JPEG and WebP are made for."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (5 + c) + c) * np.cos(y / (7 - c)) for c in range(channels)]
    image = np.stack(planes, -1) + RNG.normal(0, 5, (height, width, channels))
    image[height // 3 :, width // 2 :] += 60
    return np.clip(image, 0, 255).astype(np.uint8)


def saved(image: Image.Image, format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png_files():
    files = {}
    for color, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items():
        for depth in depths:
            for interlace in (0, 1):
                for width, height in ((13, 11), (1, 1), (3, 2), (64, 33)):
                    samples = noise(height, width, raw.CHANNELS[color], top=1 << depth)
                    if (color, depth) == (0, 16):  # levels around the clip at 255
                        samples[::2] //= 200
                    before = raw.png_chunk(b"PLTE", COLORS[: 3 << depth]) if color == 3 else b""
                    name = f"png-{color}-{depth}-{'i' if interlace else 'n'}-{width}x{height}"
                    files[name] = raw.png(samples, depth, color, before, interlace=interlace)
    eight = noise(9, 17, 1)
    palette = raw.png_chunk(b"PLTE", COLORS)
    trns = [bytes([255, 255, 0]), bytes([0, 128, 255, 3]), b""]
    for i, alpha in enumerate(trns):
        files[f"png-palette-trns{i}"] = raw.png(eight, 8, 3, palette + raw.png_chunk(b"tRNS", alpha))
    files["png-short-palette"] = raw.png(eight % 20, 8, 3, raw.png_chunk(b"PLTE", COLORS[:30]))
    files["png-palette-for-rgb"] = raw.png(noise(5, 5, 3), 8, 2, palette)
    gray_key = raw.png_chunk(b"tRNS", struct.pack(">H", int(eight[0, 0, 0])))
    files["png-gray-trns"] = raw.png(eight, 8, 0, gray_key)
    files["png-1bit-trns"] = raw.png(eight % 2, 1, 0, raw.png_chunk(b"tRNS", b"\0\1"))
    files["png-rgb-trns"] = raw.png(noise(4, 6, 3), 8, 2, raw.png_chunk(b"tRNS", b"\0\1\0\2\0\3"))
    files["png-gamma"] = raw.png(noise(8, 8, 3), 8, 2, raw.png_chunk(b"gAMA", struct.pack(">I", 100000))
                                 + raw.png_chunk(b"cHRM", bytes(32)))
    files["png-sbit-bkgd"] = raw.png(noise(8, 8, 3), 8, 2, raw.png_chunk(b"sBIT", b"\5\6\5")
                                     + raw.png_chunk(b"bKGD", b"\0\1\0\2\0\3"))
    files["png-text"] = raw.png(noise(6, 6, 3), 8, 2, raw.png_chunk(b"tEXt", b"Title\0x")
                                + raw.png_chunk(b"zTXt", b"Big\0\0" + zlib.compress(b"y" * 9999)))
    files["png-apng"] = saved(Image.fromarray(scene(20, 12)), "PNG", save_all=True,
                              append_images=[Image.fromarray(scene(20, 12))])
    files["png-apng-default"] = saved(Image.fromarray(scene(20, 12)), "PNG", save_all=True,
                                      default_image=True,
                                      append_images=[Image.fromarray(scene(20, 12))] * 2)
    return files


def jpeg_files():
    files = {}
    for width, height in ((1, 1), (7, 5), (16, 16), (17, 33), (65, 40)):
        rgb = Image.fromarray(scene(width, height))
        for name, options in {
            "444": dict(subsampling=0, quality=90), "422": dict(subsampling=1, quality=75),
            "420": dict(subsampling=2, quality=75), "low": dict(quality=5),
            "progressive": dict(progressive=True, quality=80),
            "progressive-444": dict(progressive=True, quality=95, subsampling=0),
            "optimized": dict(optimize=True), "restart": dict(restart_marker_blocks=2),
            "rgb": dict(keep_rgb=True),
        }.items():
            files[f"jpeg-{name}-{width}x{height}"] = saved(rgb, "JPEG", **options)
        files[f"jpeg-gray-{width}x{height}"] = saved(rgb.convert("L"), "JPEG")
        cmyk = Image.frombytes("CMYK", (width, height), scene(width, height, 4).tobytes())
        files[f"jpeg-cmyk-{width}x{height}"] = saved(cmyk, "JPEG", quality=90)
        files[f"jpeg-cmyk-progressive-{width}x{height}"] = saved(cmyk, "JPEG", progressive=True)
    # An Adobe marker that says YCCK (transform 2) makes the same bytes mean something else, as
    # does one that says RGB (0) for three components.
    cmyk = files["jpeg-cmyk-65x40"]
    adobe = b"Adobe\0\x64\0\0\0\0"
    assert adobe in cmyk
    files["jpeg-ycck"] = cmyk.replace(adobe + b"\0", adobe + b"\2")
    marker = b"\xff\xee\0\x0e" + adobe + b"\0"
    files["jpeg-adobe-rgb"] = b"\xff\xd8" + marker + files["jpeg-444-17x33"][2:]
    files["jpeg-junk-between-markers"] = files["jpeg-420-65x40"][:20] + b"\0\0junk" + files["jpeg-420-65x40"][20:]
    files["jpeg-trailing-bytes"] = files["jpeg-420-65x40"] + b"trailing" * 10
    files["jpeg-icc"] = saved(Image.fromarray(scene(9, 9)), "JPEG", icc_profile=b"x" * 70000)
    return files


def webp_files():
    files = {}
    for width, height in ((1, 1), (7, 5), (16, 16), (33, 17), (64, 41)):
        rgb = Image.fromarray(scene(width, height))
        alpha = noise(height, width, 1).astype(np.uint8)
        rgba = Image.fromarray(np.concatenate([scene(width, height), alpha], -1))
        for name, image, options in (
            ("lossy", rgb, dict(quality=70)), ("lossless", rgb, dict(lossless=True)),
            ("lossy-alpha", rgba, dict(quality=70)),
            ("lossless-alpha", rgba, dict(lossless=True, exact=True)),
            ("lossless-alpha-cleared", rgba, dict(lossless=True)),
            ("animated", rgb, dict(save_all=True, append_images=[rgba, rgb], duration=50)),
            ("animated-alpha", rgba, dict(save_all=True, append_images=[rgb], duration=50,
                                          lossless=True)),
        ):
            files[f"webp-{name}-{width}x{height}"] = saved(image, "WEBP", **options)
    # A first frame smaller than the canvas: the rest is black.
    frame = saved(Image.fromarray(scene(10, 8)), "WEBP", quality=80)[12:]
    anmf = bytes(a for v in (2, 3, 9, 7, 100) for a in struct.pack("<I", v)[:3]) + b"\0" + frame
    body = b"VP8X" + struct.pack("<I", 10) + bytes([0x12, 0, 0, 0, 29, 0, 0, 23, 0, 0])
    body += b"ANIM" + struct.pack("<IIH", 6, 0xFF336699, 0)
    body += b"ANMF" + struct.pack("<I", len(anmf)) + anmf
    files["webp-frame-offset"] = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    return files


def gif_files():
    files = {}
    indices = noise(15, 21)
    small = indices % 4
    for name, options in {
        "no-palette": {}, "ramp": dict(global_colors=RAMP), "global": dict(global_colors=COLORS),
        "local": dict(local_colors=COLORS), "local-ramp": dict(global_colors=COLORS, local_colors=RAMP),
        "global-ramp": dict(global_colors=RAMP, local_colors=COLORS),
        "index-beyond-palette": dict(global_colors=COLORS[:12]),
        "transparent": dict(global_colors=COLORS, transparent=7),
        "offset": dict(global_colors=COLORS, screen=(30, 25), at=(4, 6), background=9),
        "offset-transparent": dict(global_colors=COLORS, screen=(30, 25), at=(4, 6), transparent=7),
        "offset-gray": dict(screen=(30, 25), at=(4, 6), transparent=200),
        "beyond-screen": dict(global_colors=COLORS, screen=(10, 10), at=(3, 2)),
        "interlaced": dict(global_colors=COLORS, interlace=True),
        "no-trailer": dict(global_colors=COLORS, tail=b""),
    }.items():
        files[f"gif-{name}"] = raw.gif(indices, **options)
    files["gif-2bit"] = raw.gif(small, global_colors=COLORS[:12], minimum=2)
    files["gif-2bit-interlaced"] = raw.gif(small, global_colors=COLORS[:12], minimum=2, interlace=True)
    for height in (1, 2, 3, 5, 9):
        files[f"gif-interlaced-{height}"] = raw.gif(indices[:height], global_colors=COLORS, interlace=True)
    rgb = Image.fromarray(scene(70, 50))
    files["gif-lzw"] = saved(rgb.quantize(256), "GIF")
    files["gif-lzw-16"] = saved(rgb.quantize(16), "GIF", interlace=0)
    files["gif-animated"] = saved(rgb.quantize(64), "GIF", save_all=True, loop=0,
                                  append_images=[Image.fromarray(scene(70, 50)).quantize(64)])
    return files


def bmp_rle_files():
    colors = bytes(v for i in range(256) for v in (*COLORS[3 * i : 3 * i + 3], 0))
    rle8 = (b"\5\7\0\3abc\0" b"\0\0" b"\3\1\0\4wxyz\1\2\0\0" b"\12\11\0\0" b"\0\2\0\0\3\1\2\4" b"\0\0"
            b"\4\6\0\1")
    rle4 = b"\5\x17\0\6\x12\x34\x56\0\2\x33" b"\0\0" b"\12\x9a\0\0" b"\0\4\x12\x34\4\x56\0\0" b"\12\x77\0\1"
    files = {
        "bmp-rle8": raw.bmp(10, 5, 8, rle8 + b"\0\1", compression=1, palette=colors),
        "bmp-rle8-full": raw.bmp(10, 3, 8, b"\12\3\0\0\12\4\0\0\12\5\0\1", compression=1, palette=colors),
        "bmp-rle8-top-down": raw.bmp(10, 3, 8, b"\12\3\0\0\12\4\0\0\12\5\0\1", compression=1,
                                     palette=colors, top_down=True),
        "bmp-rle8-long-run": raw.bmp(10, 3, 8, b"\17\3\0\0\12\4\0\0\12\5\0\1", compression=1, palette=colors),
        "bmp-rle8-gray": raw.bmp(10, 3, 8, b"\12\3\0\0\12\4\0\0\12\5\0\1", compression=1,
                                 palette=bytes(v for i in range(256) for v in (i, i, i, 0))),
        "bmp-rle4": raw.bmp(10, 4, 4, rle4, compression=2, palette=colors[:64]),
        "bmp-rle8-short": raw.bmp(10, 9, 8, rle8, compression=1, palette=colors),
    }
    files["bmp-rle8-odd-offset"] = raw.bmp(10, 3, 8, b"\0\3abc\0\7\1\0\0\12\4\0\0\12\5\0\1", compression=1,
                                           palette=colors[:201 * 4], colors=201)
    return files


def bmp_files():
    files = {}
    colors = bytes(v for i in range(256) for v in (*COLORS[3 * i : 3 * i + 3], 0))
    gray = bytes(v for i in range(256) for v in (i, i, i, 0))
    for width, height in ((1, 1), (5, 3), (13, 7), (32, 9)):
        size = f"{width}x{height}"
        for bits in (1, 4, 8):
            rows = [raw.pack_row(noise(width, top=1 << bits), bits) for _ in range(height)]
            pixels = raw.bmp_rows(rows)
            for name, options in {
                "": dict(palette=colors[: 4 << bits]),
                "-top-down": dict(palette=colors[: 4 << bits], top_down=True),
                "-os2": dict(palette=COLORS[: 3 << bits], header=12),
                "-v5": dict(palette=colors[: 4 << bits], header=124),
                "-gray": dict(palette=gray[: 4 << bits]),
                "-black-white": dict(palette=b"\0\0\0\0\xff\xff\xff\0", colors=2),
                "-few-colors": dict(palette=colors[:8], colors=2),
                "-offset-0": dict(palette=colors[: 4 << bits], offset=0),
                "-offset-wrong": dict(palette=colors[: 4 << bits], offset=54),
            }.items():
                files[f"bmp-{bits}{name}-{size}"] = raw.bmp(width, height, bits, pixels, **options)
        for bits in (16, 24, 32):
            pixels = raw.bmp_rows(noise(width * bits // 8).astype(np.uint8).tobytes() for _ in range(height))
            files[f"bmp-{bits}-{size}"] = raw.bmp(width, height, bits, pixels)
            files[f"bmp-{bits}-top-down-{size}"] = raw.bmp(width, height, bits, pixels, top_down=True)
            for i, masks in enumerate(MASKS[bits]):
                for header in (40, 52, 56, 108, 124):
                    files[f"bmp-{bits}-masks{i}-{header}-{size}"] = raw.bmp(
                        width, height, bits, pixels, compression=3, masks=masks, header=header)
    files.update(bmp_rle_files())
    files["bmp-no-last-padding"] = raw.bmp(5, 3, 24, raw.bmp_rows([bytes(15)] * 3))[:-1]
    return files


MASKS = {
    16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0)],
    24: [(0xFF0000, 0xFF00, 0xFF, 0)],
    32: [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
         (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
         (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0),
         (0xFF, 0xFF00, 0xFF0000, 0)],
}


def xmp(orientation) -> bytes:
    return b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def oriented_files():
    """Where an orientation may stand: EXIF in JPEG, PNG and WebP, and XMP packets."""
    files = {}
    image = Image.fromarray(scene(23, 14))
    plain = saved(image, "JPEG", subsampling=0, quality=95)

    def app1(data):
        return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(data) + 2) + data + plain[2:]

    samples = noise(6, 10, 3)
    for o in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
        block = raw.exif(o)
        files[f"exif{o}-jpeg"] = app1(b"Exif\0\0" + block)
        files[f"exif{o}-jpeg-big-endian"] = app1(b"Exif\0\0" + raw.exif(o, big_endian=True))
        files[f"exif{o}-png"] = raw.png(samples, 8, 2, raw.png_chunk(b"eXIf", block))
        files[f"exif{o}-png-late"] = raw.png(samples, 8, 2, after=raw.png_chunk(b"eXIf", block))
        files[f"exif{o}-webp"] = saved(image, "WEBP", exif=b"Exif\0\0" + block)
        files[f"exif{o}-webp-lossless"] = saved(image, "WEBP", exif=block, lossless=True)
        files[f"exif{o}-xmp-jpeg"] = app1(b"http://ns.adobe.com/xap/1.0/\0" + xmp(o))
    o = 6
    text = b"\nexif\n      40\n" + (b"Exif\0\0" + raw.exif(o)).hex().encode() + b"\n"
    for name, chunk in {
        "raw-profile-text": raw.png_chunk(b"tEXt", RAW_PROFILE + b"\0" + text),
        "raw-profile-ztxt": raw.png_chunk(b"zTXt", RAW_PROFILE + b"\0\0" + zlib.compress(text)),
        "exif-text": raw.png_chunk(b"tEXt", b"exif\0" + raw.exif(o)),
        "xmp": raw.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(o)),
        "xmp-deflated": raw.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(o))),
        "xmp-element": raw.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<tiff:Orientation>8<"),
        "exif-before-xmp": raw.png_chunk(b"eXIf", raw.exif(3)) + raw.png_chunk(
            b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(o)),
        "two-exif": raw.png_chunk(b"eXIf", raw.exif(3)) + raw.png_chunk(b"eXIf", raw.exif(8)),
    }.items():
        files[f"oriented-png-{name}"] = raw.png(samples, 8, 2, chunk)
    for name, block in {
        "long": raw.exif(o, kind=4), "byte": raw.exif(o, kind=1), "signed-short": raw.exif(o, kind=8),
        "signed-long": raw.exif(o, kind=9), "unknown-kind": raw.exif(o, kind=99),
        "after-other-tags": raw.exif(o, before=[(256, 4, 1, 3), (257, 3, 1, 4)]),
        "after-broken-tag": raw.exif(o, before=[(271, 2, 9999, 500)]),
        "twice": raw.exif(o, before=[(274, 3, 1, 3)]), "bad-order-mark": b"XX" + raw.exif(o)[2:],
        "directory-outside": b"II*\0" + struct.pack("<I", 9999), "cut": raw.exif(o)[:14], "empty": b"",
        "half-magic": b"II\0*" + raw.exif(o)[4:], "double-prefix": b"Exif\0\0" + raw.exif(o),
    }.items():
        files[f"oriented-jpeg-{name}"] = app1(b"Exif\0\0" + block)
    files["oriented-webp-xmp"] = saved(image, "WEBP", xmp=xmp(o))
    return files


def corpus() -> dict:
    files = {}
    for part in (png_files, jpeg_files, webp_files, gif_files, bmp_files, oriented_files):
        files.update(part())
    return files
