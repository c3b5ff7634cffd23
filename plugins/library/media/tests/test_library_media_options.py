"""The limits that a processor carries: kept beside it, and written into none of its files."""

import json
from types import SimpleNamespace

from tunesmith_library_configuration.fingerprints import encoding_parts
from tunesmith_library_media.options import MediaOptions, keep_options, options_of


def test_a_processor_carries_its_options(tiny_bpe):
    assert options_of(tiny_bpe) == MediaOptions()
    keep_options(tiny_bpe, MediaOptions(image_max_pixels=100))
    try:
        assert options_of(tiny_bpe).image_max_pixels == 100
    finally:
        keep_options(tiny_bpe, MediaOptions())


def test_options_are_written_into_no_file(tiny_bpe, tmp_path):
    keep_options(tiny_bpe, MediaOptions(image_max_pixels=12345))
    try:
        tiny_bpe.save_pretrained(tmp_path)
    finally:
        keep_options(tiny_bpe, MediaOptions())
    assert "12345" not in json.dumps([file.read_text() for file in tmp_path.glob("*config.json")])


def test_other_options_encode_otherwise(tiny_bpe, tmp_path):
    made = []
    for options in (MediaOptions(), MediaOptions(), MediaOptions(video_fps=1.0)):
        keep_options(tiny_bpe, options)
        made.append(encoding_parts(tmp_path, tiny_bpe, SimpleNamespace(jinja="", variables={}), {}))
    keep_options(tiny_bpe, MediaOptions())
    assert made[0] == made[1] != made[2]
    assert {name for name in made[0] if made[0][name] != made[2][name]} == {"options of the processor"}
