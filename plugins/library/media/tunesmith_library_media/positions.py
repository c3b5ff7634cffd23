"""Positions of a concatenated batch in models whose positions have several dimensions (M-RoPE, arXiv 2409.12191).

Such a model lays out time, height and width of what it is shown by its own public `get_rope_index`, which knows rows of
a padded batch. Here it is asked about the sequences of a concatenated one, before the model runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

_OF_TOKENS = ("input_ids", "attention_mask", "mm_token_type_ids")

# Arguments of `get_rope_index` whose values models are given by another name, and how they follow from them.
_FOLLOWING: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "audio_seqlens": ("feature_attention_mask", lambda mask: mask.sum(-1)),
    "second_per_grids": ("video_second_per_grid", lambda seconds: seconds),
}


def watch(model: torch.nn.Module) -> None:
    """Give `model`, transformers' base model, the positions of every concatenated batch that shows it something."""
    if callable(getattr(model, "get_rope_index", None)):
        model.register_forward_pre_hook(_place, with_kwargs=True)


def _place(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Put the positions in all dimensions, the text's own first, where restarting ones (1, T) are."""
    bounds, position_ids = kwargs.get("cu_seq_lens_q"), kwargs.get("position_ids")
    if bounds is None or position_ids is None or position_ids.ndim != 2:
        return None
    get_rope_index: Any = module.get_rope_index
    media = _media(get_rope_index, kwargs)
    if not media:
        return None
    tokens = {name: kwargs[name] for name in ("input_ids", "mm_token_type_ids") if kwargs.get(name) is not None}
    placed = of_sequences(get_rope_index, tokens, bounds.diff().tolist(), media)
    positions = torch.cat([position_ids[None], placed.to(position_ids.device)])
    return args, {**kwargs, "position_ids": positions}


def of_sequences(
    get_rope_index: Callable[..., Any],
    tokens: Mapping[str, torch.Tensor],
    lengths: Sequence[int],
    media: Mapping[str, Any],
) -> torch.Tensor:
    """The positions of sequences in one row, as each has them alone.

    Args:
        get_rope_index: a model's own; asked on the CPU, since it reads its arguments value by value.
        tokens: `input_ids` and, for models that take them, `mm_token_type_ids`: (1, T), integers.
        lengths: of the sequences; T in all.
        media: further arguments: sizes and durations of all items, in the order of the text.

    Returns: (dimensions, 1, T), int64.
    """
    filled = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    padded = {}
    for name, row in tokens.items():
        padded[name] = torch.zeros(filled.shape, dtype=row.dtype)
        padded[name][filled] = row[0].cpu()
    taken = inspect.signature(get_rope_index).parameters
    rows = {name: values for name, values in padded.items() if name in taken}
    given = {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in media.items()}
    positions: torch.Tensor = get_rope_index(**rows, **given, attention_mask=filled.long())[0]
    return positions[:, filled].unsqueeze(1).long()


def of_rows(get_rope_index: Callable[..., Any], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The positions of a padded batch (dimensions, B, T), by what a forward pass is given."""
    tokens = {name: kwargs[name] for name in _OF_TOKENS if kwargs.get(name) is not None}
    positions: torch.Tensor = get_rope_index(**tokens, **_media(get_rope_index, kwargs))[0]
    return positions


def _media(get_rope_index: Callable[..., Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What a forward pass is given that `get_rope_index` asks for, beside tokens; empty when nothing is shown."""
    found = {}
    for name in inspect.signature(get_rope_index).parameters:
        source, following = _FOLLOWING.get(name, (name, None))
        value = kwargs.get(source)
        if value is None or name in _OF_TOKENS:
            continue
        found[name] = value if following is None else following(value)
    return found if any(isinstance(value, torch.Tensor) for value in found.values()) else {}
