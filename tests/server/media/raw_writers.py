"""Hand-written PNG, GIF and BMP files in the variants that Pillow cannot write."""

import struct
import zlib

import numpy as np


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, depth, color, idat, before=b"", after=b"", interlace=0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", idat)
        + after
        + png_chunk(b"IEND", b"")
    )


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def pack_row(samples: np.ndarray, depth: int) -> bytes:
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = ((samples.reshape(-1)[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return np.packbits(bits.reshape(-1)).tobytes()


def filter_row(kind: int, row: bytes, above: bytes, step: int) -> bytes:
    """PNG specification 9.2: None, Sub, Up, Average, Paeth."""
    out = bytearray([kind])
    for i, value in enumerate(row):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        p = a + b - c
        paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        out.append((value - (0, a, b, (a + b) // 2, paeth)[kind]) & 255)
    return bytes(out)


def png(samples: np.ndarray, depth: int, color: int, before=b"", after=b"", interlace=0) -> bytes:
    """samples: [h, w, channels] integers; every row uses another filter."""
    height, width = samples.shape[:2]
    step = max(1, CHANNELS[color] * depth // 8)
    passes = ADAM7 if interlace else [(0, 0, 1, 1)]
    data = b""
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        above = bytes(len(pack_row(part[0], depth)))
        for y, row in enumerate(part):
            packed = pack_row(row, depth)
            data += filter_row(y % 5, packed, above, step)
            above = packed
    return png_bytes(width, height, depth, color, zlib.compress(data), before, after, interlace)


def gif_blocks(data: bytes) -> bytes:
    return b"".join(
        bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)
    ) + b"\0"


def lzw(indices, minimum=8) -> bytes:
    """Codes of fixed width: a clear code often enough that the table never grows."""
    clear, width = 1 << minimum, minimum + 1
    codes = []
    for i, index in enumerate(indices):
        if i % (clear - 2) == 0:
            codes.append(clear)
        codes.append(int(index))
    codes.append(clear + 1)
    value = bits = 0
    out = bytearray()
    for code in codes:
        value |= code << bits
        bits += width
        while bits >= 8:
            out.append(value & 255)
            value >>= 8
            bits -= 8
    if bits:
        out.append(value & 255)
    return bytes([minimum]) + gif_blocks(bytes(out))


def gif_palette(colors: bytes, flag=0x80) -> int:
    return flag | (len(colors) // 3).bit_length() - 2 if colors else 0


def gif(indices, screen=None, at=(0, 0), global_colors=b"", local_colors=b"", transparent=None,
        background=0, interlace=False, minimum=8, tail=b";") -> bytes:
    height, width = indices.shape
    screen_width, screen_height = screen or (width, height)
    out = b"GIF89a" + struct.pack("<HH", screen_width, screen_height)
    out += bytes([gif_palette(global_colors), background, 0]) + global_colors
    out += b"!\xfe" + gif_blocks(b"a comment")
    if transparent is not None:
        out += b"!\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    rows = list(range(height))
    if interlace:
        rows = rows[0::8] + rows[4::8] + rows[2::4] + rows[1::2]
    out += b"," + struct.pack("<HHHH", *at, width, height)
    out += bytes([gif_palette(local_colors) | (0x40 if interlace else 0)]) + local_colors
    return out + lzw(indices[rows].reshape(-1), minimum) + tail


def bmp(width, height, bits, pixels, colors=None, compression=0, masks=None, header=40,
        palette=b"", top_down=False, offset=None) -> bytes:
    """pixels: everything behind the palette."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IIiHHIIIIII", header, width, -height if top_down else height, 1, bits,
                           compression, len(pixels), 2835, 2835, colors or 0, 0)
        if masks and header >= 52:
            info += struct.pack("<4I", *masks)[: header - 40]
        info = info.ljust(header, b"\0")
        if masks and header < 52:
            info += struct.pack("<3I", *masks[:3])
    start = 14 + len(info) + len(palette) if offset is None else offset
    size = 14 + len(info) + len(palette) + len(pixels)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, start) + info + palette + pixels


def bmp_rows(rows) -> bytes:
    """Rows of bytes, bottom row first, each padded to 4 bytes."""
    return b"".join(row.ljust((len(row) + 3) // 4 * 4, b"\0") for row in reversed(list(rows)))


def exif(orientation, big_endian=False, kind=3, before=()) -> bytes:
    """A TIFF structure whose first directory holds `before` and the orientation."""
    order = ">" if big_endian else "<"
    entries = list(before) + [(274, kind, 1, orientation)]
    out = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    for tag, entry_kind, count, value in entries:
        if entry_kind == 3:
            packed = struct.pack(order + "HH", value, 0)
        elif entry_kind in (1, 6):
            packed = bytes([value, 0, 0, 0])
        else:
            packed = struct.pack(order + "I", value)
        out += struct.pack(order + "HHI", tag, entry_kind, count) + packed
    return out + b"\0\0\0\0"
