"""Images beside the text (Llama 3.2 Vision): in batches, each sequence attends to its own as if it were alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import MllamaConfig, MllamaForConditionalGeneration
from tunesmith import TunesmithError
from tunesmith_library_training import attention as per_sequence
from tunesmith_library_training import watching

TILES, EDGE, IMAGE = 4, 28, 299
TEXT = {
    **{"vocab_size": 300, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3, "pad_token_id": 0},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "cross_attention_layers": [1]},
    **{"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
}
VISION = {
    **{"hidden_size": 32, "attention_heads": 2, "num_hidden_layers": 1, "num_global_layers": 1, "max_num_tiles": TILES},
    **{"intermediate_size": 32, "image_size": EDGE, "patch_size": 14, "vision_output_dim": 64},
    **{"intermediate_layers_indices": [0], "supported_aspect_ratios": [[1, 1], [1, 2], [1, 4], [2, 2]]},
}

# What stands in each example: a number of words, or an image by (tiles, number of its aspect ratio). Words before the
# first image see all images of their row alike, in transformers.
EXAMPLES: tuple[tuple[Any, ...], ...] = ((5, (2, 2), 4), (9,), ((1, 1), 3, (4, 3), 6), (3, (2, 2), 2))


def models() -> tuple[Any, Any]:
    """The same model with our attention and with transformers', its gates open."""
    per_sequence.register()
    torch.manual_seed(0)
    plain = made_with("sdpa")
    for name, parameter in plain.named_parameters():
        if "gate" in name:
            torch.nn.init.constant_(parameter, 0.7)
    ours = made_with(per_sequence.NAME)
    ours.load_state_dict(plain.state_dict())
    watching.watch(ours.base_model)
    return ours, plain


def made_with(attention: str) -> Any:
    config = MllamaConfig(text_config=TEXT, vision_config=VISION, image_token_index=IMAGE)
    return MllamaForConditionalGeneration._from_config(config, attn_implementation=attention).double().eval()


def example(parts: tuple[Any, ...], generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Token ids (T,) and, with images, what the processor makes of them: (T, images, tiles) and (images, …)."""
    ids: list[int] = []
    images = [part for part in parts if isinstance(part, tuple)]
    shown = {
        "aspect_ratio_mask": torch.zeros(len(images), TILES).long(),
        "aspect_ratio_ids": torch.tensor([ratio for _, ratio in images]),
        "pixel_values": torch.zeros(len(images), TILES, 3, EDGE, EDGE),
    }
    seen = torch.zeros(sum(part if isinstance(part, int) else 1 for part in parts), len(images), TILES).long()
    number = 0
    for part in parts:
        if isinstance(part, int):
            ids += torch.randint(5, 250, (part,), generator=generator).tolist()
            continue
        seen[len(ids) :, number, : part[0]] = 1
        shown["aspect_ratio_mask"][number, : part[0]] = 1
        shown["pixel_values"][number, : part[0]] = torch.randn(part[0], 3, EDGE, EDGE, generator=generator)
        ids.append(IMAGE)
        number += 1
    return torch.tensor(ids), {"cross_attention_mask": seen, **shown} if images else {}


Made = list[tuple[torch.Tensor, dict[str, torch.Tensor]]]


def made() -> Made:
    generator = torch.Generator().manual_seed(1)
    return [example(parts, generator) for parts in EXAMPLES]


def placed(examples: Made, rows: list[int], starts: list[int], places: list[int], width: int) -> dict[str, Any]:
    """A batch in which example i begins at token `starts[i]` and image `places[i]` of row `rows[i]`."""
    counts = [len(shown["pixel_values"]) if shown else 0 for _, shown in examples]
    most = max(place + count for place, count in zip(places, counts, strict=True))
    batch: dict[str, Any] = {"input_ids": torch.zeros(max(rows) + 1, width).long()}
    for (ids, shown), row, start, place in zip(examples, rows, starts, places, strict=True):
        batch["input_ids"][row, start : start + len(ids)] = ids
        for name, values in shown.items():
            tokens = (width,) if name == "cross_attention_mask" else ()
            shape = (max(rows) + 1, *tokens, most, *values.shape[1 + len(tokens) :])
            whole = batch.setdefault(name, torch.zeros(shape, dtype=values.dtype))
            if tokens:
                whole[row, start : start + len(ids), place : place + values.shape[1]] = values
            else:
                whole[row, place : place + len(values)] = values
    return batch


def concatenated(examples: Made) -> dict[str, Any]:
    lengths = [len(ids) for ids, _ in examples]
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    images = torch.tensor([0, *(len(shown.get("pixel_values", ())) for _, shown in examples)]).cumsum(0)
    return {
        **placed(examples, [0] * len(lengths), bounds.tolist()[:-1], images.tolist()[:-1], sum(lengths)),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        **{"cu_seq_lens_q": bounds.int(), "cu_seq_lens_k": bounds.int()},
        **{"max_length_q": max(lengths), "max_length_k": max(lengths)},
    }


def padded(examples: Made) -> dict[str, Any]:
    lengths = torch.tensor([len(ids) for ids, _ in examples])
    nothing, rows = [0] * len(lengths), list(range(len(lengths)))
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    return {**placed(examples, rows, nothing, nothing, mask.shape[1]), "attention_mask": mask}


@pytest.mark.parametrize("apart", [False, True])
def test_images_of_others_and_padding_are_not_seen(apart: bool) -> None:
    ours, plain = models()
    examples = made()
    lengths = [len(ids) for ids, _ in examples]
    logits = ours(**(padded if apart else concatenated)(examples), use_cache=False).logits
    found = [row[:length] for row, length in zip(logits, lengths, strict=True)] if apart else logits[0].split(lengths)
    expected = [plain(**padded([each]), use_cache=False).logits[0] for each in examples]
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    for outputs in (found, expected):
        sum(output.square().sum() for output in outputs).backward()
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-6, msg=name)


def test_other_attention_is_refused() -> None:
    plain = models()[1]
    watching.watch(plain.base_model)
    with pytest.raises(TunesmithError, match="padding_free=false"):
        plain(**concatenated(made()), use_cache=False)
