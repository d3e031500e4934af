"""What Pillow makes of a file: the oracle of the decoding tests."""

import io
import warnings

import numpy as np
from PIL import Image, ImageFile, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def pillow_decode(file: bytes):
    """transformers' load_image: upright RGB as an array [h, w, 3], or None where Pillow raises.

    A damaged EXIF block makes Pillow raise in some files and not in others; the server takes it
    for no orientation in all of them, so the picture without it counts then.
    """
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(file), formats=FORMATS)
            image.load()
        except Exception:
            return None
        try:
            upright = ImageOps.exif_transpose(image)
        except Exception:
            upright = image
        return np.array(upright.convert("RGB"))
