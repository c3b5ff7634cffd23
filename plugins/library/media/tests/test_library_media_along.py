"""Tensors along the tokens: made for the batch's own, not for the placeholders that a processor was given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import DataError
from tunesmith_library_media.along import along_tokens, prefixes
from tunesmith_library_media.expanding import _refuse_turned

IMAGE = 9


def joined(sequences: list[list[int]]) -> list[int]:
    return [token for sequence in sequences for token in sequence]


def kinds(ids: list[list[int]]) -> list[list[int]]:
    return [[int(token == IMAGE) for token in row] for row in ids]


PROCESSOR: Any = SimpleNamespace(create_mm_token_type_ids=kinds, image_token_id=IMAGE)


def test_types_say_which_tokens_are_of_images() -> None:
    batch = {"input_ids": torch.tensor([[1, IMAGE, IMAGE, 2], [3, 4, 5, 0]])}
    for name in ("token_type_ids", "mm_token_type_ids"):
        found = along_tokens(PROCESSOR, {name: torch.ones(1, 2)}, batch)
        assert found.keys() == {name} and found[name].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]


def test_an_answer_is_no_part_of_a_prefix_that_sees_itself() -> None:
    names = ["input_ids", "pixel_values", "token_type_ids", "labels"]
    paligemma = SimpleNamespace(create_mm_token_type_ids=kinds, model_input_names=names)
    ids = [[IMAGE, IMAGE, 1, 2, 3], [4, 5, 6], [IMAGE, 7, 8, 2, 2]]
    labels = [[-100, -100, -100, 2, 3], [-100, 5, 6], [-100, -100, 8, -100, 2]]
    types = [[0, 0, 0, 1, 1], [0, 1, 1], [0, 0, 1, 1, 1]]
    row = {name: torch.tensor([joined(each)]) for name, each in (("input_ids", ids), ("labels", labels))}
    row["cu_seq_lens_q"] = torch.tensor([0, 5, 8, 13])
    for found in (along_tokens(paligemma, {"token_type_ids": torch.zeros(1, 2)}, row), prefixes(paligemma, row)):
        assert found["token_type_ids"].tolist() == [joined(types)]
    apart = {"input_ids": torch.tensor([ids[0], ids[2]]), "labels": torch.tensor([labels[0], labels[2]])}
    assert prefixes(paligemma, apart)["token_type_ids"].tolist() == [types[0], types[2]]
    assert prefixes(PROCESSOR, row) == prefixes(None, row) == {}


def test_an_image_is_seen_until_the_next_one() -> None:
    """Llama 3.2 Vision: by hand, images of 1, 2 and 1 tiles; two that stand together are seen together."""
    made = {
        "cross_attention_mask": torch.zeros(1, 4, 4, 2),
        "aspect_ratio_mask": torch.tensor([[[1, 0], [1, 1], [1, 0], [1, 1]]]),
    }
    ids = [[1, IMAGE, 2, IMAGE, 3], [4, 5], [IMAGE, IMAGE, 6]]
    batch = {"input_ids": torch.tensor([joined(ids)]), "cu_seq_lens_q": torch.tensor([0, 5, 7, 10])}
    found = along_tokens(PROCESSOR, made, batch)["cross_attention_mask"]
    expected = torch.zeros(1, 10, 4, 2, dtype=torch.int64)
    expected[0, 1:3, 0, :1] = 1
    expected[0, 3:5, 1, :2] = 1
    expected[0, 7:10, 2, :1] = 1
    expected[0, 8:10, 3, :2] = 1
    assert torch.equal(found, expected)


def test_a_video_before_an_image_is_refused_where_one_tensor_has_both() -> None:
    videos = SimpleNamespace(model_input_names=["pixel_values_videos"])
    internvl = SimpleNamespace(video_processor=videos, model_input_names=["input_ids", "pixel_values"])
    qwen = SimpleNamespace(video_processor=videos, model_input_names=["pixel_values", "pixel_values_videos"])
    for processor, columns in (
        (internvl, ["images", "videos", "videos"]),
        (internvl, ["videos"]),
        (qwen, ["videos", "images"]),
        (PROCESSOR, ["images"]),
    ):
        _refuse_turned(processor, columns)
    with pytest.raises(DataError, match="images before the videos"):
        _refuse_turned(internvl, ["images", "videos", "images"])
