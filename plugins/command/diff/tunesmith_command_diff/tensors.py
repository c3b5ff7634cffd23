"""The tensors of two folders, read one pair after the other, so that memory stays at two tensors and a few numbers."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tunesmith_command_diff.findings import Part, some
from tunesmith_command_diff.holding import Held, Reading

_NUMBERS = 4_000_000  # that are compared at a time, in float64: 32 MB
_NOISE = 1e-6  # of a tensor's largest number, that float32 makes in another order of the same sums
_LAYER = re.compile(r"^(?:.*?\.)?\d+(?=\.)")


@dataclass(frozen=True)
class Pair:
    """A tensor of A beside that of B."""

    name: str  # in A
    equal: bool  # bit for bit, or within rounding where one side is computed
    largest: float  # difference of two numbers; infinite where one of them is not finite
    relative: float  # that, by the largest number of A's tensor
    dtypes: tuple[str, str]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    rounded: str | None = None  # the numbers that rounding to makes all of the difference

    @property
    def layer(self) -> str:
        """The layer that it belongs to, `model.layers.0`; outside of layers the module."""
        found = _LAYER.match(self.name)
        return found[0] if found else self.name.rpartition(".")[0] or self.name


def tensors(name: str, before: Held, after: Held) -> Part:
    """Compare the tensors of two models.

    Where one side is computed, what rounding it to the numbers of the other's file makes is no difference.

    Raises: TunesmithError when a file cannot be read.
    """
    gone = [tensor for tensor in before.entries if tensor not in after.entries]
    new = [tensor for tensor in after.entries if tensor not in before.entries]
    with Reading(before) as ours, Reading(after) as theirs:
        renamed = dict(_renamed(gone, new, before, after, ours, theirs))
        same = {tensor: tensor for tensor in before.entries if tensor in after.entries}
        pairs = [_pair(a, b, before, after, ours, theirs) for a, b in sorted({**same, **renamed}.items())]
    lost = [tensor for tensor in gone if tensor not in renamed]
    added = sorted(set(new) - set(renamed.values()))
    return _told(name, pairs, lost, added, renamed)


def _pair(name: str, other: str, before: Held, after: Held, ours: Reading, theirs: Reading) -> Pair:
    dtypes, shapes = (before.dtype(name), after.dtype(other)), (before.shape(name), after.shape(other))
    if shapes[0] != shapes[1]:
        return Pair(name, False, math.nan, math.nan, dtypes, shapes)
    one, two = ours(name), theirs(other)
    if dtypes[0] == dtypes[1] and torch.equal(_bits(one), _bits(two)):
        return Pair(name, True, 0.0, 0.0, dtypes, shapes)
    if before.computed != after.computed:
        dtypes = (dtypes[1], dtypes[1]) if before.computed else (dtypes[0], dtypes[0])
    target = two.dtype if before.computed or _digits(two) < _digits(one) else one.dtype
    largest, scale, rounded = 0.0, 0.0, True
    room = _NOISE * float(one.double().abs().nan_to_num(posinf=0.0).max()) if one.numel() else 0.0
    for left, right in zip(one.reshape(-1).split(_NUMBERS), two.reshape(-1).split(_NUMBERS), strict=True):
        x, y = left.double(), right.double()
        apart = torch.where((x == y) | (x.isnan() & y.isnan()), 0.0, (x - y).abs()).nan_to_num(nan=math.inf)
        largest = max(largest, float(apart.max()))
        scale = max(scale, float(x.abs().nan_to_num(nan=0.0, posinf=0.0).max()))
        full = x if target == right.dtype else y
        rounded = rounded and bool((apart <= (full.to(target).double() - full).abs().nan_to_num() + room).all())
    relative = largest / scale if scale else (math.inf if largest else 0.0)
    is_rounding = rounded and (before.computed != after.computed or one.dtype != two.dtype)
    by = str(target).removeprefix("torch.") if is_rounding else None
    return Pair(name, by is not None and before.computed != after.computed, largest, relative, dtypes, shapes, by)


def _digits(tensor: torch.Tensor) -> float:
    """How many digits of its numbers count, as the distance of 1 from the next; whole numbers have all."""
    return -math.log2(torch.finfo(tensor.dtype).eps) if tensor.is_floating_point() else math.inf


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """NaN is equal to itself in its bits."""
    return tensor.contiguous().view(-1).view(torch.uint8)


def _renamed(
    gone: list[str],
    new: list[str],
    before: Held,
    after: Held,
    ours: Reading,
    theirs: Reading,
) -> Iterator[tuple[str, str]]:
    """Pairs of a tensor that is gone and a new one: those with the same bits, then those that only the beginning of
    the name tells apart."""
    if not gone or not new:
        return
    prints: dict[tuple[Any, ...], list[str]] = {}
    for name in new:
        prints.setdefault(_print(theirs, name, after), []).append(name)
    found = dict[str, str]()
    for name in gone:
        if alike := prints.get(_print(ours, name, before)):
            alike.sort(key=lambda other: _tail(other) != _tail(name))
            found[name] = alike.pop(0)
    taken = set(found.values())
    left, free = [n for n in gone if n not in found], [n for n in new if n not in taken]
    tails = {_tail(name): name for name in _unique(free)}
    for name in _unique(left):
        other = tails.get(_tail(name))
        if other is not None and before.shape(name) == after.shape(other):
            found[name] = other
    yield from found.items()


def _print(read: Reading, name: str, held: Held) -> tuple[Any, ...]:
    return held.dtype(name), held.shape(name), hashlib.sha256(_bits(read(name)).numpy().data).digest()


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
    within = Counter(pair.rounded for pair in pairs if pair.rounded)
    merely = sum(pair.equal for pair in pairs if pair.rounded)
    equal = not (other or lost or new or renamed)
    exact = len(pairs) - len(other) - merely
    summary = f"{exact} of {len(pairs) + len(lost) + len(new)} are equal bit for bit"
    summary += "".join(f", {count} equal within rounding to {dtype}" for dtype, count in within.items())
    facts = {
        "tensors": {"equal": exact, "differ": len(other)},
        "rounded": dict(within),
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
