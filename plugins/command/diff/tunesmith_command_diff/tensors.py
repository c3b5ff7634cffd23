"""The tensors of two folders, read one pair after the other, so that memory stays at two tensors and a few numbers."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import Reader, Stored, tensors_of

from tunesmith_command_diff.findings import Part, some

_NUMBERS = 4_000_000  # that are compared at a time, in float64: 32 MB
_LAYER = re.compile(r"^(?:.*?\.)?\d+(?=\.)")


@dataclass(frozen=True)
class Pair:
    """A tensor of A beside that of B."""

    name: str  # in A
    equal: bool  # bit for bit
    largest: float  # difference of two numbers; infinite where one of them is not finite
    relative: float  # that, by the largest number of A's tensor
    dtypes: tuple[str, str]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def layer(self) -> str:
        """The layer that it belongs to, `model.layers.0`; outside of layers the module."""
        found = _LAYER.match(self.name)
        return found[0] if found else self.name.rpartition(".")[0] or self.name


def tensors(name: str, first: Path, second: Path) -> Part:
    """Compare the tensors of two folders.

    Raises: TunesmithError when a file cannot be read, or a folder has no safetensors.
    """
    before, after = _held(first), _held(second)
    gone = [tensor for tensor in before if tensor not in after]
    new = [tensor for tensor in after if tensor not in before]
    with Reader(before) as ours, Reader(after) as theirs:
        renamed = dict(_renamed(gone, new, before, after, ours, theirs))
        same = {tensor: tensor for tensor in before if tensor in after}
        pairs = [_pair(a, ours, theirs, before[a], after[b], b) for a, b in sorted({**same, **renamed}.items())]
    lost = [tensor for tensor in gone if tensor not in renamed]
    added = sorted(set(new) - set(renamed.values()))
    return _told(name, pairs, lost, added, renamed)


def _held(folder: Path) -> dict[str, Stored]:
    found = tensors_of(folder)
    if not found:
        held = some(sorted(file.name for file in folder.iterdir()), 5)
        raise TunesmithError(f"{folder} has no tensors in safetensors files.\n  it has: {held or 'nothing'}")
    return found


def _pair(name: str, ours: Reader, theirs: Reader, a: Stored, b: Stored, other: str) -> Pair:
    dtypes, shapes = (a.dtype, b.dtype), (a.shape, b.shape)
    if a.shape != b.shape:
        return Pair(name, False, math.nan, math.nan, dtypes, shapes)
    one, two = ours(name), theirs(other)
    if a.dtype == b.dtype and torch.equal(_bits(one), _bits(two)):
        return Pair(name, True, 0.0, 0.0, dtypes, shapes)
    largest, scale = 0.0, 0.0
    for left, right in zip(one.reshape(-1).split(_NUMBERS), two.reshape(-1).split(_NUMBERS), strict=True):
        x, y = left.double(), right.double()
        apart = torch.where((x == y) | (x.isnan() & y.isnan()), 0.0, (x - y).abs()).nan_to_num(nan=math.inf)
        largest = max(largest, float(apart.max()))
        scale = max(scale, float(x.abs().nan_to_num(nan=0.0, posinf=0.0).max()))
    relative = largest / scale if scale else (math.inf if largest else 0.0)
    return Pair(name, False, largest, relative, dtypes, shapes)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """NaN is equal to itself in its bits."""
    return tensor.contiguous().view(-1).view(torch.uint8)


def _renamed(
    gone: list[str],
    new: list[str],
    before: Mapping[str, Stored],
    after: Mapping[str, Stored],
    ours: Reader,
    theirs: Reader,
) -> Iterator[tuple[str, str]]:
    """Pairs of a tensor that is gone and a new one: those with the same bits, then those that only the beginning of
    the name tells apart."""
    if not gone or not new:
        return
    prints: dict[tuple[Any, ...], list[str]] = {}
    for name in new:
        prints.setdefault(_print(theirs, name, after[name]), []).append(name)
    found = dict[str, str]()
    for name in gone:
        if alike := prints.get(_print(ours, name, before[name])):
            alike.sort(key=lambda other: _tail(other) != _tail(name))
            found[name] = alike.pop(0)
    taken = set(found.values())
    left, free = [n for n in gone if n not in found], [n for n in new if n not in taken]
    tails = {_tail(name): name for name in _unique(free)}
    for name in _unique(left):
        other = tails.get(_tail(name))
        if other is not None and before[name].shape == after[other].shape:
            found[name] = other
    yield from found.items()


def _print(read: Reader, name: str, stored: Stored) -> tuple[Any, ...]:
    return stored.dtype, stored.shape, hashlib.sha256(_bits(read(name)).numpy().data).digest()


def _tail(name: str) -> str:
    """A name from the number of its layer on; without one its last two parts."""
    found = re.search(r"(?:^|\.)(\d+\..*)$", name)
    return found[1] if found else ".".join(name.split(".")[-2:])


def _unique(names: list[str]) -> list[str]:
    counts = Counter(map(_tail, names))
    return [name for name in names if counts[_tail(name)] == 1]


def _told(name: str, pairs: list[Pair], lost: list[str], new: list[str], renamed: Mapping[str, str]) -> Part:
    other = [pair for pair in pairs if not pair.equal]
    lines = [f"only A has {len(lost)}: {some(lost)}"] if lost else []
    lines += [f"only B has {len(new)}: {some(new)}"] if new else []
    lines += [f"{a} is {b} in B" for a, b in list(renamed.items())[:3]]
    lines += [f"{len(renamed)} tensors have another name in B"] if renamed else []
    lines += _reshaped(other)
    layers = [_layer(group) for group in _grouped(pair for pair in other if pair.shapes[0] == pair.shapes[1])]
    lines += map(_layer_line, layers)
    equal = not (other or lost or new or renamed)
    summary = f"{len(pairs) - len(other)} of {len(pairs) + len(lost) + len(new)} are equal bit for bit"
    facts = {
        "tensors": {"equal": len(pairs) - len(other), "differ": len(other)},
        "only_a": lost,
        "only_b": new,
        "renamed": dict(renamed),
        "layers": [{key: _finite(value) for key, value in layer.items()} for layer in layers],
        "shapes": {p.name: {"a": p.shapes[0], "b": p.shapes[1]} for p in other if p.shapes[0] != p.shapes[1]},
        "dtypes": {p.name: {"a": p.dtypes[0], "b": p.dtypes[1]} for p in other if p.dtypes[0] != p.dtypes[1]},
    }
    return Part(name, equal, summary, lines, facts)


def _reshaped(pairs: list[Pair]) -> Iterator[str]:
    """Tensors of other shapes, and how many are of other numbers."""
    for pair in pairs:
        if pair.shapes[0] != pair.shapes[1]:
            yield f"{pair.name} is {list(pair.shapes[0])} in A, {list(pair.shapes[1])} in B"
    for (one, two), count in Counter(pair.dtypes for pair in pairs if pair.dtypes[0] != pair.dtypes[1]).items():
        yield f"{count} tensors are {one} in A, {two} in B"


def _grouped(pairs: Iterable[Pair]) -> list[list[Pair]]:
    groups = dict[str, list[Pair]]()
    for pair in pairs:
        groups.setdefault(pair.layer, []).append(pair)
    return [groups[layer] for layer in sorted(groups, key=_in_order)]


def _in_order(layer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in layer.split(".")]


def _layer(pairs: list[Pair]) -> dict[str, Any]:
    worst = max(pairs, key=lambda pair: pair.largest)
    relative = max(pair.relative for pair in pairs)
    tensor = worst.name.removeprefix(f"{worst.layer}.")
    found = {"layer": worst.layer, "differ": len(pairs), "largest": worst.largest}
    return {**found, "relative": relative, "tensor": tensor}


def _layer_line(layer: Mapping[str, Any]) -> str:
    beside = f"{layer['relative']:.2g} of the largest number" if math.isfinite(layer["relative"]) else "A's are zero"
    beside = beside if math.isfinite(layer["largest"]) else "numbers that are not finite"
    tensor = f", in {layer['tensor']}" if layer["tensor"] != layer["layer"] else ""
    return f"{layer['layer']}: {layer['differ']} differ, by {layer['largest']:.3g} at most ({beside}){tensor}"


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return "infinite" if isinstance(value, float) and not math.isfinite(value) else value
