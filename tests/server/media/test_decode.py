"""Headers and pixels equal Pillow's for every format, mode and orientation."""

import numpy as np
import pytest

from corpus import corpus
from media_client import MediaError
from pillow_reference import pillow_decode

FILES = corpus()
# Valid files that Pillow reads by a quirk and the format's own library refuses.
REFUSED = set()


def test_corpus_is_wide():
    kinds = {name.split("-")[0] for name in FILES}
    assert {"png", "jpeg", "webp", "gif", "bmp"} <= kinds
    readable = sum(pillow_decode(file) is not None for file in FILES.values())
    assert len(FILES) > 500 and readable > 450, (len(FILES), readable)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "exif", "oriented"])
def test_equals_pillow(tool, kind):
    wrong = []
    for name, file in FILES.items():
        if not name.startswith(kind):
            continue
        expected = pillow_decode(file)
        try:
            header = tool.probe(file)
            got = tool.decode(file)
        except MediaError as error:
            if expected is not None and name not in REFUSED:
                wrong.append(f"{name}: refused ({error})")
            continue
        if expected is None:
            wrong.append(f"{name}: read, but Pillow refuses it")
        elif got.shape != expected.shape or not np.array_equal(got, expected):
            wrong.append(f"{name}: differs, {got.shape} and {expected.shape}")
        elif (header["height"], header["width"]) != expected.shape[:2]:
            wrong.append(f"{name}: header says {header}")
    assert not wrong, f"{len(wrong)} files:\n" + "\n".join(wrong[:40])


def test_orientations_swap_the_header(tool):
    for orientation in range(1, 9):
        header = tool.probe(FILES[f"exif{orientation}-jpeg"])
        assert header["orientation"] == orientation
        upright = (header["width"], header["height"])
        assert upright == ((14, 23) if orientation >= 5 else (23, 14))
        assert (header["stored_width"], header["stored_height"]) == (23, 14)
