"""Shifted sparse attention (arXiv 2309.12307, section 3.2) around the attention that the model has.

A sequence is cut in groups of G tokens. The first half of the heads has its cuts at G, 2G, …, the second half at
G/2, 3G/2, …; every token attends to those before it in its group. The published code rolls the second half by G/2
instead, which makes one group of a sequence's first and last half groups, and there the first tokens see the last ones:
the future that they learn to predict. Here these two are groups of their own (the paper's appendix, "variant 2").
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from tunesmith import TunesmithError
from tunesmith_library_training.attention import NAME as PER_SEQUENCE

_numbers = itertools.count(1)  # of the models that attend in groups, for transformers keeps attention by name


def install(model: Any, size: int) -> ShiftedAttention:
    """Let a model attend in groups of `size` tokens while it is in training mode.

    Returns: the attention; it tells whether it was called.
    """
    name = f"shifted_{next(_numbers)}"
    attention = ShiftedAttention(size)
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, _make_mask)
    model.set_attn_implementation(name)
    return attention


def _full_attention() -> str:
    """The attention that is cut: per sequence where that is registered, else transformers' SDPA."""
    return PER_SEQUENCE if PER_SEQUENCE in _attentions() else "sdpa"


def _attentions() -> Mapping[str, Callable[..., tuple[torch.Tensor, None]]]:
    """What is registered with transformers, by its names."""
    registered: Any = AttentionInterface()
    attentions: Mapping[str, Callable[..., tuple[torch.Tensor, None]]] = registered
    return attentions


def _make_mask(**arguments: Any) -> Any:
    """The mask of the attention that is cut."""
    registered: Any = AttentionMaskInterface()
    return registered[_full_attention()](**arguments)


class ShiftedAttention:
    """Attention with transformers' signature: in groups in training, over everything in evaluation."""

    def __init__(self, size: int) -> None:
        self.size = size  # tokens of a group
        self.called = False  # whether a model computes its attention here

    def __call__(
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend.

        Args:
            query: (B, heads, T, D); key and value may have fewer heads.
            attention_mask: (B or 1, 1, T, S), bool (True attends) or added to the scores; None is causal.
            options: `cu_seq_lens_q` and `max_length_q` of a concatenated batch, `scaling`, `dropout`, …

        Returns: (B, T, heads, D), and None for the weights.
        Raises: TunesmithError for a padded batch of a model with softcap, sinks or a position bias.
        """
        self.called = True
        causal = options.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        bounds, length = options.get("cu_seq_lens_q"), query.shape[2]
        longest = length if bounds is None else int(options["max_length_q"])
        full = _full_attention()
        if not (module.training and causal) or length != key.shape[2] or longest <= self.size:
            return _attentions()[full](module, query, key, value, attention_mask, **options)
        halves = []
        for part, sinks, shift in _halves(query, key, value, options.get("s_aux"), self.size):
            own = options if sinks is None else {**options, "s_aux": sinks}
            if bounds is not None and full == PER_SEQUENCE:
                halves.append(self._concatenated(module, part, attention_mask, own, shift))
            else:
                groups = [cut(row, self.size, shift) for row in _lengths(attention_mask, bounds, length)]
                halves.append(_each_row(part, attention_mask, groups, own))
        return torch.cat(halves, dim=2), None

    def _concatenated(
        self, module: Any, part: Sequence[torch.Tensor], mask: torch.Tensor | None, options: dict[str, Any], shift: int
    ) -> torch.Tensor:
        """Attention of some heads per group, by saying that each group is a sequence."""
        groups = _group_bounds(options["cu_seq_lens_q"], self.size, shift)
        own = {"cu_seq_lens_q": groups, "cu_seq_lens_k": groups, "max_length_q": self.size, "max_length_k": self.size}
        return _attentions()[PER_SEQUENCE](module, *part, mask, **{**options, **own})[0]


def cut(lengths: Sequence[int], size: int, shift: int) -> list[int]:
    """The lengths of the groups of sequences, one sequence after the other; a sequence that fits a group is one.

    Args:
        shift: where the first cut is; the others follow at distances of `size`. The last group is what is left.
    """
    groups: list[int] = []
    for length in lengths:
        cuts = [0, *(range(shift, length, size) if length > size else ()), length]
        groups += [end - start for start, end in itertools.pairwise(cuts) if end > start]
    return groups


def _lengths(mask: torch.Tensor | None, bounds: torch.Tensor | None, length: int) -> list[list[int]]:
    """The lengths of the sequences in each row, its padding being one of them; one list when all rows are alike."""
    if bounds is not None:
        return [bounds.diff().tolist()]
    if mask is None:
        return [[length]]
    noted: Any = mask
    if not hasattr(noted, "lengths"):  # read from the device once per batch, not once per layer
        seen = (mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2).any(dim=(1, 2))
        firsts, counts = seen.int().argmax(dim=1).tolist(), seen.sum(dim=1).tolist()
        rows = [[first, count, length - first - count] for first, count in zip(firsts, counts, strict=True)]
        noted.lengths = rows
    lengths: list[list[int]] = noted.lengths
    return lengths


def _group_bounds(bounds: torch.Tensor, size: int, shift: int) -> torch.Tensor:
    """The bounds of the groups of a concatenated batch, int32; made once per batch, not once per layer."""
    noted: Any = bounds
    made: dict[tuple[int, int], torch.Tensor] = getattr(noted, "groups", {})
    if (size, shift) not in made:
        lengths = cut(bounds.diff().tolist(), size, shift)
        ends = torch.tensor([0, *lengths]).cumsum(0)
        made[size, shift] = ends.to(bounds)
        noted.groups = made
    return made[size, shift]


def _halves(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sinks: torch.Tensor | None, size: int
) -> Iterator[Any]:
    """The two halves of the heads with their key heads, their sinks, and where their first cut is.

    Key heads that do not split evenly are repeated for the query heads that share them.
    """
    heads, middle = query.shape[1], query.shape[1] // 2
    if heads % 2 or key.shape[1] % 2:
        key, value = (tensor.repeat_interleave(heads // tensor.shape[1], 1) for tensor in (key, value))
    key_middle = middle * key.shape[1] // heads
    for ours, keys, shift in (
        (slice(0, middle), slice(0, key_middle), size),
        (slice(middle, None), slice(key_middle, None), size // 2),
    ):
        part = (query[:, ours], key[:, keys], value[:, keys])
        yield part, None if sinks is None else sinks[ours], shift


def _each_row(
    part: Sequence[torch.Tensor], mask: torch.Tensor | None, groups: list[list[int]], options: dict[str, Any]
) -> torch.Tensor:
    """Attention of some heads per group, by SDPA: (B, T, heads, D).

    Args:
        groups: lengths of the groups of each row, or of all rows when there is one list.
    """
    strange = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if strange:
        raise TunesmithError(
            f"patch.longlora: attention with {strange[0]} is cut into groups in batches without padding only.\n"
            "  use trainer.padding_free=true and model.attention=auto"
        )
    if len(groups) == 1:
        return _each_group(part, mask, groups[0], options)
    rows = [slice(number, number + 1) for number in range(len(groups))]
    masks = [None if mask is None else mask[row] for row in rows]
    return torch.cat(
        [
            _each_group([tensor[row] for tensor in part], own, lengths, options)
            for row, own, lengths in zip(rows, masks, groups, strict=True)
        ]
    )


def _each_group(
    part: Sequence[torch.Tensor], mask: torch.Tensor | None, groups: list[int], options: dict[str, Any]
) -> torch.Tensor:
    outputs, start = [], 0
    for query, key, value in zip(*(torch.split(tensor, groups, 2) for tensor in part), strict=True):
        end = start + query.shape[2]
        outputs.append(_sdpa(query, key, value, None if mask is None else mask[:, :, start:end, start:end], options))
        start = end
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Any, options: dict[str, Any]) -> torch.Tensor:
    """Attention of one group: (B, heads, G, D). Padding sees itself, lest its softmax be over nothing."""
    if mask is not None and mask.dtype == torch.bool:
        mask = mask | torch.eye(q.shape[2], dtype=torch.bool, device=q.device)
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=options.get("dropout", 0.0),
        scale=options.get("scaling"),
        is_causal=mask is None,
        enable_gqa=q.shape[1] != k.shape[1],
    )
