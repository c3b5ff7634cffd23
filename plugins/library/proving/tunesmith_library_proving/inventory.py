"""The tensors of an artefact beside those of its base and of the trained model: lost, new, renamed, of other values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tunesmith_library_publishing.inventory import Numbers, Reader, Stored, tensors_of
from tunesmith_library_publishing.weights import published_tensors


@dataclass(frozen=True)
class Inventory:
    """What became of every tensor; names as the files have them."""

    held: int  # in the artefact
    changed: int  # of the base's, with other values, as the trained model has them
    copied: int  # of the base's, bit for bit
    lost: tuple[str, ...]  # of the base's, that are nowhere
    renamed: tuple[tuple[str, str], ...]  # of the base's, that are there under another name
    new: tuple[str, ...]  # that neither the base nor the trained model has
    wrong: tuple[str, ...]  # with values that neither the trained model nor the base has

    def problems(self) -> list[str]:
        """What is wrong, in words; [] when every tensor is what it should be."""
        found = []
        for names, what in (
            (self.lost, "of the base are missing in what was written"),
            (tuple(f"{one} (now {other})" for one, other in self.renamed), "of the base have another name"),
            (self.new, "are neither the base's nor the trained model's"),
            (self.wrong, "have values that neither the trained model nor the base has"),
        ):
            if names:
                found.append(f"{len(names)} tensors {what}, such as {names[0]}")
        return found

    def as_json(self) -> dict[str, Any]:
        counts = {"held": self.held, "changed": self.changed, "copied": self.copied}
        lists = {name: list(getattr(self, name)[:20]) for name in ("lost", "renamed", "new", "wrong")}
        return counts | {name: value for name, value in lists.items() if value}


def take(
    written: Path, base: Path, model: Any, numbers: Numbers | None = None, replaced: Collection[str] = ()
) -> Inventory:
    """Compare every tensor of a written folder, bit for bit, with the trained model's and the base's.

    Args:
        base: the folder that the model was loaded from.
        model: of transformers, its adapter folded in.
        numbers: what the tensors were rounded to; None where they were written as the model has them.
        replaced: names of the base's that the model has given up, such as an output layer's.

    Raises: TunesmithError when a file cannot be read.
    """
    before, after = tensors_of(base), tensors_of(written)
    trained = published_tensors(model, base, before)
    changed, copied, wrong = 0, 0, []
    with Reader(before) as of_base, Reader(after) as read:
        for name in after:
            same = name in before and _same(read(name), of_base(name))
            if name in trained and _agrees(read(name), trained[name], numbers, name):
                changed, copied = changed + (name in before and not same), copied + same
            elif same and (name not in trained or _unrounded(trained[name], of_base(name))):
                copied += 1
            elif name in before or name in trained:
                wrong.append(name)
    gone = [name for name in before if name not in after and name not in replaced]
    new = [name for name in after if name not in before and name not in trained]
    renamed = _renamed(gone, new, before, after)
    moved = {name for pair in renamed for name in pair}
    lost = [name for name in gone if name not in moved]
    lost += [name for name in trained if name not in after and name not in gone]
    return Inventory(
        *(len(after), changed, copied, tuple(lost)),
        *(tuple(renamed), tuple(name for name in new if name not in moved), tuple(wrong)),
    )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bits(one), _bits(other))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """NaN is equal to itself in its bits."""
    return tensor.contiguous().view(-1).view(torch.uint8)


def _agrees(written: torch.Tensor, trained: torch.Tensor, numbers: Numbers | None, name: str) -> bool:
    """Whether a tensor of a file is the trained model's, rounded as was asked."""
    expected = trained.detach().cpu()
    if numbers is not None and expected.is_floating_point():
        expected = expected.to(numbers.of(name))
    return written.shape == expected.shape and torch.equal(written.to(expected.dtype), expected)


def _unrounded(trained: torch.Tensor, stored: torch.Tensor) -> bool:
    """Whether training left a tensor as it was: the base's file has more digits than the model was loaded in."""
    now = trained.detach().cpu()
    return now.shape == stored.shape and torch.equal(stored.to(now.dtype), now)


def _renamed(
    gone: Collection[str], new: Collection[str], before: Mapping[str, Stored], after: Mapping[str, Stored]
) -> list[tuple[str, str]]:
    """Pairs of a tensor that is gone and a new one with the same numbers."""
    pairs, free = [], list(new)
    with Reader(before) as of_base, Reader(after) as read:
        for name in gone:
            alike = [other for other in free if after[other].shape == before[name].shape]
            found = next((other for other in alike if _same(read(other), of_base(name))), None)
            if found is not None:
                free.remove(found)
                pairs.append((name, found))
    return pairs
