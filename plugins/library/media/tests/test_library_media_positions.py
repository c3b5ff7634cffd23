"""Positions in several dimensions: of sequences in one row, each as it has them alone."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tunesmith_library_media import positions

IMAGE, VIDEO = 7, 8


def model() -> Any:
    """A model that reads no weights: positions depend on its configuration alone."""
    text = {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
    vision = {"depth": 1, "hidden_size": 16, "out_hidden_size": 16, "num_heads": 2, "tokens_per_second": 4}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, "intermediate_size": 16, "vocab_size": 32}, vision_config=vision, image_token_id=IMAGE
    )
    with torch.device("meta"):
        return transformers.Qwen2_5_VLModel(config)


def test_positions_count_from_each_sequence_and_time_by_seconds() -> None:
    """By hand: 2 words, an image of 2 × 3 tokens, a word; a word; a clip of 2 × 1 × 1, one of 1 × 2 × 2, a word."""
    types = torch.tensor([[0, 0, *[1] * 6, 0, 0, *[2] * 2, 0, *[2] * 4, 0]])
    media = {
        "image_grid_thw": torch.tensor([[1, 4, 6]]),
        "video_grid_thw": torch.tensor([[2, 2, 2], [1, 4, 4]]),
        "second_per_grid_ts": torch.tensor([2.0, 1.0]),
    }
    tokens = {"input_ids": torch.where(types == 0, 1, IMAGE), "mm_token_type_ids": types}
    found = positions.of_sequences(model().get_rope_index, tokens, [9, 1, 8], media)
    # the clip's second frame is 4 tokens a second x 2 seconds later; what follows begins after its height
    time = [0, 1, *[2] * 6, 5, 0, 0, 8, 1, 2, 2, 2, 2, 4]
    height = [0, 1, 2, 2, 2, 3, 3, 3, 5, 0, 0, 0, 1, 2, 2, 3, 3, 4]
    width = [0, 1, 2, 3, 4, 2, 3, 4, 5, 0, 0, 0, 1, 2, 3, 2, 3, 4]
    assert found.tolist() == [[time], [height], [width]]


def test_batches_that_show_nothing_are_left_alone() -> None:
    base = model()
    positions.watch(base)
    (hook,) = base._forward_pre_hooks.values()
    bounds, restarting = torch.tensor([0, 2, 3]).int(), torch.tensor([[0, 1, 0]])
    given = {"input_ids": torch.ones(1, 3, dtype=torch.long), "mm_token_type_ids": torch.zeros(1, 3).int()}
    assert hook(base, (), {**given, "cu_seq_lens_q": bounds, "position_ids": restarting}) is None
    grid = {"image_grid_thw": torch.tensor([[1, 2, 2]])}
    assert hook(base, (), {**given, **grid, "position_ids": restarting}) is None, "rows of their own"
