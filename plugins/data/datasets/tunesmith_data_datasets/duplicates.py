"""Examples that come again: in their own set, in one before it, or in an evaluation set.

Two are the same when all that the stage made of them is: tokens, labels, weights, media. Each is known by a digest of
16 bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tunesmith import DataError
from tunesmith.messages import logger

if TYPE_CHECKING:
    import datasets

_ROWS = 1000  # at a time
_PRIME = 1_000_003  # more than an example has tokens, as a rule
_NAMED = "dataset"  # the column that says which set an example is of


def without_repeated(sets: Sequence[datasets.Dataset], names: Sequence[str]) -> list[datasets.Dataset]:
    """Leave out what stands before it in its own set or in one before that; how much of each is told.

    Raises: DataError when nothing of a set is left.
    """
    digests = [_digests(examples) for examples in sets]
    firsts = _first_places(np.concatenate(digests))
    starts = np.cumsum([0, *map(len, sets)])
    kept = []
    for number, examples in enumerate(sets):
        own = firsts[starts[number] : starts[number + 1]]
        new = own == np.arange(starts[number], starts[number + 1])
        owners = Counter((np.searchsorted(starts, own[~new], side="right") - 1).tolist())
        where = [
            f"{count:,} before in it" if owner == number else f"{count:,} in {names[owner]}"
            for owner, count in sorted(owners.items(), key=lambda item: (item[0] != number, item[0]))
        ]
        kept.append(_kept(examples, new, names[number], ", ".join(where)))
    return kept


def without_leaking(
    sets: Sequence[datasets.Dataset], names: Sequence[str], held_out: Mapping[str, datasets.Dataset], removes: bool
) -> list[datasets.Dataset]:
    """Tell which training examples stand in an evaluation set, too, and leave them out if that is asked for.

    Args:
        removes: whether it is.

    Raises: DataError when nothing of a set is left.
    """
    known: dict[bytes, str] = {}
    for name, examples in held_out.items():
        for one in _digests(examples):
            known.setdefault(one.tobytes(), name)
    sums = np.unique(np.concatenate([_sums(examples) for examples in held_out.values()]))
    kept = []
    for name, examples in zip(names, sets, strict=True):
        likely = np.flatnonzero(np.isin(_sums(examples), sums))
        found = [known.get(one.tobytes()) for one in _digests(examples.select(likely))]
        leaking = likely[[owner is not None for owner in found]]
        new = np.ones(len(examples), bool)
        new[leaking] = False
        owners = Counter(owner for owner in found if owner is not None)
        where = ", ".join(f"{count:,} in {owner}" for owner, count in owners.items())
        if removes:
            kept.append(_kept(examples, new, name, f"in evaluation sets, {where}"))
            continue
        kept.append(examples)
        if len(leaking):
            advice = "data.deduplicate=true leaves them out of the training"
            message = f"{len(leaking):,} of {len(examples):,} examples are in evaluation sets, too: {where}; {advice}"
            logger.warning("data %s: %s", name, message)
    return kept


def _kept(examples: datasets.Dataset, new: np.ndarray, name: str, where: str) -> datasets.Dataset:
    """The examples that are new; the others are told of."""
    lost = int((~new).sum())
    if not lost:
        return examples
    if not new.any():
        raise DataError(f"data {name}: nothing of it is left by data.deduplicate: {where}\n  take the set out")
    logger.warning(
        "data %s: %s of %s examples are left out, for they are: %s", name, f"{lost:,}", f"{len(new):,}", where
    )
    return examples.select(np.flatnonzero(new))


def _first_places(digests: np.ndarray) -> np.ndarray:
    """The place where each digest stands first: int64 (N,) of digests uint64 (N, 2)."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of equal ones the first comes first
    ordered = digests[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = np.empty(len(order), np.int64)
    firsts[order] = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return firsts


def _digests(examples: datasets.Dataset) -> np.ndarray:
    """A digest of each example: uint64 (N, 2)."""
    names = sorted(name for name in examples.column_names if name != _NAMED)
    found = bytearray()
    for table in _tables(examples, names):
        columns = [_bytes_of(table[name].combine_chunks()) for name in names]
        for parts in zip(*columns, strict=True):
            told = [
                part
                for name, part in zip(names, parts, strict=True)
                if part is not None
                for part in (f"{name} {len(part)} ".encode(), part)
            ]
            found += hashlib.blake2b(b"".join(told), digest_size=16).digest()
    return np.frombuffer(bytes(found), np.uint64).reshape(-1, 2)


def _tables(examples: datasets.Dataset, names: Sequence[str]) -> Iterable[Any]:
    tables: Iterable[Any] = examples.select_columns(list(names)).with_format("arrow").iter(batch_size=_ROWS)
    return tables


def _bytes_of(column: Any) -> list[bytes | None]:
    """Each value of a column, whatever width its set has it in; None for none."""
    import pyarrow

    kind = column.type
    lists = pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    numbers = lists and (pyarrow.types.is_integer(kind.value_type) or pyarrow.types.is_floating(kind.value_type))
    flat = column.flatten() if lists else column  # of a slice its own values alone
    if not numbers or column.null_count or flat.null_count:
        return [_bytes_of_value(value) for value in column.to_pylist()]
    wide = np.int64 if pyarrow.types.is_integer(kind.value_type) else np.float64
    values = flat.to_numpy(zero_copy_only=False).astype(wide).tobytes()
    offsets = column.offsets.to_numpy().astype(np.int64)
    return [values[start:end] for start, end in itertools.pairwise(((offsets - offsets[0]) * 8).tolist())]


def _bytes_of_value(value: Any) -> bytes | None:
    """One value; lists of numbers as above."""
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
        wide = np.float64 if any(isinstance(item, float) for item in value) else np.int64
        return np.asarray(value, wide).tobytes()
    return json.dumps(value, default=repr, sort_keys=True).encode()


def _sums(examples: datasets.Dataset) -> np.ndarray:
    """A number of each example's tokens that the same examples share, and few others: int64 (N,)."""
    name = next((name for name in sorted(examples.column_names) if name.endswith("input_ids")), None)
    if name is None:
        return np.zeros(len(examples), np.int64)
    found = [np.empty(0, np.int64)]
    for table in _tables(examples, [name]):
        column = table[name].combine_chunks()
        bounds = column.offsets.to_numpy().astype(np.int64)
        before = np.concatenate([[0], np.cumsum(column.flatten().to_numpy(), dtype=np.int64)])[bounds - bounds[0]]
        found.append((before[1:] - before[:-1]) * _PRIME + np.diff(bounds))
    return np.concatenate(found)
