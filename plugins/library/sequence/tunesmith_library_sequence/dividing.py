"""Batches of a model divided along their tokens: what the model gets of them, and what its losses do with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from tunesmith import TunesmithError
from tunesmith.types import IGNORED, Batch
from tunesmith_library_training import parts
from tunesmith_library_training.on_host import LENGTHS, sequence_lengths

from tunesmith_library_sequence import attending, balance, models, rotary
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.pieces import Division, contiguous, zigzag

Method = Literal["ulysses", "ring"]

_FILLING = "filling"  # the attribute of a lengthened batch's bounds that says how many of its tokens are none
_LONGEST = ("max_length_q", "max_length_k")


class Divider:
    """Makes the process's part of each batch.

    Args:
        method: how attention sees the tokens of others.
        sharers: the processes that share the batch.
    """

    def __init__(self, method: Method, sharers: Sharers) -> None:
        self.method, self.sharers = method, sharers

    def __call__(self, batch: Batch) -> DividedPart:
        """The part of a batch, concatenated or padded.

        Raises: TunesmithError for a batch with images or sounds.
        """
        whole = batch if "cu_seq_lens_q" in batch else concatenated(batch)
        division = self.divided(sequence_lengths(whole["cu_seq_lens_q"]))
        missing = self._missing(division)
        if missing:
            whole = lengthened(whole, missing)
            division = self.divided(sequence_lengths(whole["cu_seq_lens_q"]))
        return DividedPart(whole, division, self)

    def watch(self, model: Any) -> None:
        """Prepare a base model; raises as `models.refuse`."""
        models.refuse(model, self.method, self.sharers.size)
        models.watch(model)

    def divided(self, lengths: list[int]) -> Division:
        """Which process has which tokens."""
        return (zigzag if self.method == "ring" else contiguous)(lengths, self.sharers.size)

    def _missing(self, division: Division) -> int:
        """Tokens that the last sequence lacks for each process to have one: a model cannot run on none."""
        if all(division.counts):
            return 0
        if self.method == "ring":
            return 2 * self.sharers.size - division.lengths[-1]
        return self.sharers.size - sum(division.lengths)


class DividedPart:
    """The tokens of a batch that a process has; see `parts.Part`.

    Args:
        batch: concatenated, with a token for each process at least.
    """

    def __init__(self, batch: Batch, division: Division, divider: Divider) -> None:
        self.batch, self.division, self.sharers = batch, division, divider.sharers
        self.method = divider.method
        self.own = division.places(self.sharers.rank).to(batch["input_ids"].device)  # ascending

    def positions(self, trained: torch.Tensor) -> torch.Tensor:
        """Those of some positions of the whole batch that are here; one that is not trained where none is."""
        here = self.own[torch.isin(self.own, trained)]
        return here if here.numel() else self.own[:1]

    def inputs(self, inputs: Batch, keep: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        """What the model gets: its tokens, and the bounds of the whole row, by which attention knows the part."""
        length = self.batch["input_ids"].shape[1]
        given: Batch = {}
        for name, value in inputs.items():
            if not isinstance(value, torch.Tensor) or name.startswith("cu_seq_lens"):
                given[name] = value
            elif value.dim() > 1 and value.shape[-1] == length:
                given[name] = value.index_select(-1, self.own)
            else:
                raise TunesmithError(
                    f"parallel.sequence: the batch has {name}, of images or sounds, which belongs to no token alone.\n"
                    "  leave parallel.sequence out for data that show or play something"
                )
        bounds = inputs["cu_seq_lens_q"].view(-1)  # another object, since a model that is not divided may get the first
        setattr(bounds, LENGTHS, list(self.division.lengths))
        setattr(bounds, parts.PART, self)
        given["cu_seq_lens_q"] = given["cu_seq_lens_k"] = bounds
        return given, torch.searchsorted(self.own, keep)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Masks and positions are of the whole batch while the model runs."""
        with parts.masked_by(attending.mask), rotary.longest(max(self.division.lengths)):
            yield

    def complete(self, model: Any, outputs: Any) -> None:
        """A mixture's balance loss is of all tokens."""
        if isinstance(getattr(outputs, "aux_loss", None), torch.Tensor):
            filled = sum(self.division.lengths) - getattr(self.batch["cu_seq_lens_q"], _FILLING, 0)
            outputs.aux_loss = balance.balance_loss(model.config, outputs, self.own < filled, self.sharers.total)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the parts."""
        return self.sharers.total(values)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # it would be compiled anew for other lengths
    def attend(self, module: Any, query: Any, key: Any, value: Any, mask: Any, **asked: Any) -> torch.Tensor:
        """Attention of the part, with the arguments of `attention.attend`: (1, own tokens, heads, D)."""
        if asked.get("position_bias") is not None:
            raise TunesmithError(f"parallel.sequence: {type(module).__name__} biases positions.\n  leave it out")
        if self.method == "ring":
            asked.pop("kernel", None)
            return attending.in_ring(module, query, key, value, mask, self.division, self.sharers, **asked)
        bounds = self.batch["cu_seq_lens_q"]
        return attending.by_heads(module, query, key, value, mask, self.division, self.sharers, bounds=bounds, **asked)


def concatenated(batch: Batch) -> Batch:
    """A padded batch (B, T), or one sequence without a mask, as one row without padding."""
    tokens = batch["input_ids"]
    mask = batch.get("attention_mask")
    filled = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
    made = {name: value for name, value in batch.items() if name != "attention_mask"}
    for name, value in made.items():
        if isinstance(value, torch.Tensor) and value.shape == filled.shape:
            made[name] = value[filled][None]
    lengths = filled.sum(1)
    if "position_ids" not in made:
        made["position_ids"] = (filled.cumsum(1) - 1)[filled][None]
    bounds = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    longest = int(lengths.max())
    return {**made, "cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, **dict.fromkeys(_LONGEST, longest)}


def lengthened(batch: Batch, missing: int) -> Batch:
    """A concatenated batch whose last sequence has so many tokens more, which none of the others sees."""
    length = batch["input_ids"].shape[1]
    made = dict(batch)
    for name, value in batch.items():
        if isinstance(value, torch.Tensor) and value.dim() > 1 and value.shape[-1] == length:
            made[name] = F.pad(value, (0, missing), value=IGNORED if name == "labels" else 0)
    bounds = batch["cu_seq_lens_q"].clone()
    bounds[-1] += missing
    setattr(bounds, _FILLING, missing)
    longest = max(sequence_lengths(bounds))
    return {**made, "cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, **dict.fromkeys(_LONGEST, longest)}
