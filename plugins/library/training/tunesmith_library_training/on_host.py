"""What a step must know of a batch as numbers, found on the host when the batch is made.

Asked of the device, each of these would have the host wait until all that it was told before is done.
"""

from __future__ import annotations

import torch
from tunesmith.types import IGNORED, Batch

POSITIONS, LENGTHS = "trained_positions", "sequence_lengths"
"""The keys of a batch, on its way to the device, under which it is told."""


def note(batch: Batch) -> None:
    """Add what is known of a batch, and of batches in it: the trained positions, and the lengths of its sequences."""
    for part in batch.values():
        if isinstance(part, dict):
            note(part)
    labels = batch.get("labels")
    if labels is not None and labels.dim() == 2:
        batch[POSITIONS] = _positions(labels)
    if batch.get("cu_seq_lens_q") is not None:
        batch[LENGTHS] = batch["cu_seq_lens_q"].diff().tolist()


def attach(batch: Batch) -> None:
    """Take it out of a batch that is on its device, and hang it on the tensors that it is about."""
    for part in batch.values():
        if isinstance(part, dict):
            attach(part)
    for name, of in ((POSITIONS, "labels"), (LENGTHS, "cu_seq_lens_q")):
        known = batch.pop(name, None)
        if known is not None:
            setattr(batch[of], name, known)


def trained_positions(labels: torch.Tensor) -> torch.Tensor:
    """The positions (K,), int64, of `labels` (B, T) before one that is trained in some row; at least one."""
    known: torch.Tensor | None = getattr(labels, POSITIONS, None)
    return _positions(labels) if known is None else known


def sequence_lengths(cu_seq_lens: torch.Tensor) -> list[int]:
    """The length of each sequence, of their bounds; read from the device once per batch at most, not once per layer."""
    lengths: list[int] | None = getattr(cu_seq_lens, LENGTHS, None)
    if lengths is None:
        lengths = cu_seq_lens.diff().tolist()
        setattr(cu_seq_lens, LENGTHS, lengths)
    return lengths


def _positions(labels: torch.Tensor) -> torch.Tensor:
    found = (labels[:, 1:] != IGNORED).any(dim=0).nonzero().flatten()
    return found if found.numel() else found.new_zeros(1)
