"""Which tokens a layer processes, and the cutting of what it is called with. Tensors in, tensors out.

B rows, T tokens of a row, K processed tokens of a row, S keys, H hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from tunesmith import TunesmithError


def sequence_numbers(
    scores: torch.Tensor, mask: torch.Tensor | None, cu_seq_lens: torch.Tensor | None
) -> tuple[torch.Tensor, int]:
    """The number of the sequence that each token belongs to, and how many there are.

    Args:
        scores: (B, T).
        mask: as attention gets it, (B or 1, 1 or heads, T, S), bool or additive; a token that may not attend to itself
            is padding.
        cu_seq_lens: int32 (sequences + 1), where a row concatenates several.

    Returns: int64 (B, T), padding having a number of its own, the last.
    """
    rows, width = scores.shape
    if cu_seq_lens is not None:
        lengths = cu_seq_lens.diff().long()
        numbers = torch.arange(len(lengths), device=lengths.device)
        return numbers.repeat_interleave(lengths, output_size=width)[None], len(lengths)
    numbers = torch.arange(rows, device=scores.device)[:, None].expand(rows, width)
    if mask is None:
        return numbers, rows
    if mask.ndim != 4:
        raise TunesmithError("patch.mixture_of_depths needs a mask of pairs of tokens.\n  use model.attention=auto")
    itself = mask[:, 0].diagonal(mask.shape[-1] - width, -2, -1)
    real = itself if itself.dtype == torch.bool else itself > torch.finfo(itself.dtype).min / 2
    return numbers.masked_fill(~real, rows), rows


def top_share(scores: torch.Tensor, numbers: torch.Tensor, count: int, capacity: float) -> torch.Tensor:
    """The tokens of the highest scores of each sequence: round(capacity · length) of them, at least one.

    Args:
        scores: (B, T).
        numbers: what `sequence_numbers` gave, with `count` sequences.

    Returns: bool (B, T).
    """
    flat, numbers = scores.detach().flatten(), numbers.flatten()
    sizes = numbers.bincount(minlength=count + 1)
    limits = (sizes.double() * capacity).round().long().clamp(min=1)
    limits[count] = 0  # padding
    order = flat.argsort(descending=True, stable=True)
    order = order[numbers[order].argsort(stable=True)]  # by sequence, and within it by score
    ranks = torch.arange(len(flat), device=flat.device) - (sizes.cumsum(0) - sizes)[numbers[order]]
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[order] = ranks < limits[numbers[order]]
    return chosen.view_as(scores)


def positions_of(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the chosen tokens stand, in their order.

    Returns: int64 (B, K), K being the most that a row has; and bool (B, K), False where a row has fewer.
    """
    counts = chosen.sum(1)
    index = (~chosen).int().argsort(dim=1, stable=True)[:, : int(counts.max())]
    return index, torch.arange(index.shape[1], device=chosen.device) < counts[:, None]


def take(tensor: torch.Tensor, index: torch.Tensor, behind: int = 1) -> torch.Tensor:
    """The chosen tokens of a tensor.

    Args:
        tensor: (..., B or 1, T, and `behind` further dimensions).
        index: int64 (B, K).

    Returns: (..., B, K, the further dimensions).
    """
    axis = tensor.ndim - 1 - behind
    shape = [*tensor.shape[: axis - 1], *index.shape, *tensor.shape[axis + 1 :]]
    where = index.view(*[1] * (axis - 1), *index.shape, *[1] * behind).expand(shape)
    return tensor.expand(*shape[:axis], tensor.shape[axis], *shape[axis + 1 :]).gather(axis, where)


def take_mask(mask: torch.Tensor | None, index: torch.Tensor, valid: torch.Tensor) -> torch.Tensor | None:
    """The mask between the chosen tokens, (B, 1 or heads, K, K); None stays None, causal, where all rows are full."""
    rows, count = index.shape
    if mask is None:
        if rows == 1 or bool(valid.all()):
            return None
        mask = torch.ones(rows, 1, count, count, dtype=torch.bool, device=index.device).tril()
    else:
        mask = mask.expand(rows, *mask.shape[1:])
        heads = mask.shape[1]
        mask = mask.gather(2, index[:, None, :, None].expand(rows, heads, count, mask.shape[-1]))
        mask = mask.gather(3, index[:, None, None, :].expand(rows, heads, count, count))
    return hide(mask, valid)


def hide(mask: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """A mask (B, heads, T, S) without the keys that are not visible, bool (B, S); every token still sees itself."""
    itself = torch.eye(mask.shape[-2], dtype=torch.bool, device=mask.device)
    itself = torch.nn.functional.pad(itself, (mask.shape[-1] - mask.shape[-2], 0))
    seen = visible[:, None, None] | itself
    if mask.dtype == torch.bool:
        return (mask | itself) & seen
    return mask.masked_fill(~seen, torch.finfo(mask.dtype).min)


def take_arguments(arguments: dict[str, Any], chosen: torch.Tensor, index: torch.Tensor, valid: torch.Tensor) -> Any:
    """What a decoder layer is called with beside the hidden states, for the chosen tokens.

    Positions stay those of the whole sequence. The bounds of a row that concatenates sequences are counted anew.
    """
    taken = dict(arguments)
    taken["attention_mask"] = take_mask(arguments.get("attention_mask"), index, valid)
    for name, value in arguments.items():
        if name == "position_ids" and value is not None:
            taken[name] = take(value, index, behind=0)
        elif name.startswith("position_embeddings") and value is not None:
            taken[name] = tuple(take(part, index) for part in value)
        elif name != "attention_mask" and isinstance(value, torch.Tensor) and value.shape[:2] == chosen.shape:
            taken[name] = take(value, index, behind=value.ndim - 2)
    bounds = arguments.get("cu_seq_lens_q")
    if bounds is not None:
        before = torch.nn.functional.pad(chosen[0].cumsum(0), (1, 0))[bounds.long()]
        before = torch.unique_consecutive(before).to(bounds.dtype)  # without sequences of which nothing is processed
        longest = int(before.diff().max())
        taken |= {"cu_seq_lens_q": before, "cu_seq_lens_k": before, "max_length_q": longest, "max_length_k": longest}
    return taken
