"""Rows on their way through text keep what they show."""

from __future__ import annotations

import base64
import json

import numpy
from PIL import Image
from tunesmith_library_media.holding import stored
from tunesmith_library_media.items import load_image
from tunesmith_library_media.texts import row_text


def test_what_was_bytes_is_an_item_again() -> None:
    pixels = numpy.arange(60, dtype=numpy.uint8).reshape(4, 5, 3)
    picture = Image.fromarray(pixels)
    row = {"images": ["sea.png", b"waves", {"path": None, "bytes": b"w"}, picture], "messages": []}
    found = json.loads(row_text(row))["images"]
    assert [stored(item) for item in found[:3]] == [
        *({"path": "sea.png", "bytes": None}, {"path": None, "bytes": b"waves"}, {"path": None, "bytes": b"w"}),
    ]
    assert (numpy.asarray(load_image(found[3])) == pixels).all()


def test_base64_of_a_file_as_short_as_a_path_is_told_from_one() -> None:
    file = b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\1\0\0;"  # 1 × 1
    short = base64.b64encode(file).decode()
    assert len(short) < 64 and stored(short) == {"path": None, "bytes": file}
    for path in ("pictures/sea", "R0lGODlh.gif", "abcdabcdabcdabcd", "/9j/", "iVBORw0"):
        assert stored(path) == {"path": path, "bytes": None}
