"""How much a run trains on, before anything is loaded: exactly where its data were encoded before, else by a look."""

from __future__ import annotations

import heapq
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith_library_caching import ABOUT
from tunesmith_library_configuration.fingerprints import options_of
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.working import Extent, spread_of

from .entries import Source, options_of_reading
from .looking import LOOKED_AT, look_into
from .reading import is_data_file

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Datasets

_ENCODED, _GUESSED = "encoded before", f"guessed by the first {LOOKED_AT} records"


@dataclass(frozen=True)
class _Set:
    """What is known of one data set."""

    examples: int | None
    tokens: float  # of an example on average
    longest: tuple[int, ...] = ()
    size: float = 0.0  # bytes of it, encoded
    encoded: bool = False
    spread: tuple[int, ...] = ()  # tokens of examples that stand for all
    learned: float = 1.0  # share of its tokens
    most: tuple[int, ...] = ()  # tokens of a sequence of the longest, at most, where that is only known by their texts


def estimate_data(options: Datasets, estimate: Estimate, plan: Plan, sources: Sequence[Source]) -> Estimate:
    """Say how many examples an epoch has, and how long they are, where anything tells."""
    marks = [_place(source) or source.entry.path for source in sources]
    abouts = list(_abouts(options.cache_folder(), marks)) if options.cache else []
    found = {source.key: _known(options, source, plan, abouts) for source in sources}
    train = [source for source in sources if source.key.startswith("data.train")]
    held = [source for source in sources if source not in train]
    unknown = [source.name for source in sources if found[source.key] is None]
    if unknown:
        estimate = estimate.without(f"how much is trained on: {', '.join(unknown)} is only known once it is read")
    sets = [known for source in train if (known := found[source.key]) is not None]
    if not sets or len(sets) < len(train):
        return estimate
    examples = None if options.streaming else _mixed(options, train, sets)
    out = _held_out(options, examples)
    apart = [known.examples or 0 for source in held if (known := found[source.key]) is not None]
    # records weigh by how many an epoch has of them
    weights = [source.entry.samples or known.examples or 1 for source, known in zip(train, sets, strict=True)]
    tokens = sum(weight * known.tokens for weight, known in zip(weights, sets, strict=True)) / sum(weights)
    exact = all(known.encoded for known in sets)
    longest = heapq.nlargest(256, (length for known in sets for length in known.longest)) if exact else []
    extent = Extent(
        None if examples is None else examples - out,
        tokens,
        tuple(longest),
        held_out=out + sum(apart),
        encoded=exact,
        spread=_spread(sets, weights),
        learned=_share_learned(sets, weights),
        source=_ENCODED if exact else _GUESSED,
        most=() if exact else _most(options, found.values(), plan),
    )
    size = sum(known.size for known in found.values() if known)
    stage = plan.plugin("stage")
    if getattr(stage, "packing", False):
        extent = extent.packed(stage.max_length)
    made = replace(estimate, data=extent)
    return made.storing("encoded data", size) if options.cache and not options.streaming and size else made


def _known(options: Datasets, source: Source, plan: Plan, abouts: Sequence[Mapping[str, Any]]) -> _Set | None:
    """A data set that was encoded as this run would, or the guess that a look at its files allows."""
    most = options.max_samples if source.entry.max_samples is None else source.entry.max_samples
    place = _place(source)
    for about in abouts:
        if _is_of(about, source, place) and _is_alike(about, options, source, plan, most):
            return _encoded(about)
    files = _files(source)
    try:
        seen = look_into(files, source.entry, getattr(plan.plugin("stage"), "max_length", None)) if files else None
    except (DataError, OSError):  # which the run says when it reads it
        return None
    if seen is None:
        return None
    count = seen.records if seen.records is None or most is None else min(seen.records, most)
    return _Set(count, seen.tokens, size=8.0 * (count or 0) * seen.tokens, spread=seen.spread, most=seen.most)


def _most(options: Datasets, sets: Iterable[_Set | None], plan: Plan) -> tuple[int, ...]:
    """Tokens of a sequence of the longest examples of all sets, at most; () where of one of them that is not known."""
    template = plan.plugin("template") if plan.uses("template") else None
    added = len(getattr(template, "default_system", None) or "")  # a token has a character at least
    found = list[int]()
    for known in sets:
        if known is None or not (known.most or known.longest):
            return ()
        found += known.longest or (length + added for length in known.most)
    return tuple(heapq.nlargest(256, found))


def _encoded(about: Mapping[str, Any]) -> _Set:
    """What a set that was encoded before says of itself; one of an earlier version knows no more than its sum."""
    examples = int(about["examples"])
    lengths = about.get("lengths") or {"tokens": about["tally"]["sizes"]["tokens"], "longest": ()}
    longest = tuple(map(int, lengths["longest"]))
    mean, spread = lengths["tokens"] / max(examples, 1), tuple(map(int, lengths.get("spread", ())))
    return _Set(examples, mean, longest, float(about.get("size", 0)), bool(longest), spread, _learned(about))


def _learned(about: Mapping[str, Any]) -> float:
    """The share of its tokens that is learned; all where it does not say."""
    sizes = (about.get("tally") or {}).get("sizes") or {}
    return min(sizes["trained"] / sizes["tokens"], 1.0) if sizes.get("trained") and sizes.get("tokens") else 1.0


def _share_learned(sets: Sequence[_Set], weights: Sequence[float]) -> float:
    """Of the tokens of all sets."""
    tokens = [weight * known.tokens for known, weight in zip(sets, weights, strict=True)]
    learned = sum(size * known.learned for known, size in zip(sets, tokens, strict=True))
    return learned / sum(tokens) if sum(tokens) else 1.0


def _spread(sets: Sequence[_Set], weights: Sequence[float]) -> tuple[int, ...]:
    """Tokens of examples that stand for those of all sets; () where of one of them that is not known."""
    counts: dict[int, float] = defaultdict(float)
    for known, weight in zip(sets, weights, strict=True):
        if not known.spread:
            return ()
        for length in known.spread:
            counts[length] += weight / len(known.spread)
    return spread_of(counts)


def _place(source: Source) -> str | None:
    """Where an entry is on this machine, in full; None where a hub has it."""
    return str(Path(source.base).expanduser().resolve()) if source.hub("huggingface") == "local" else None


def _abouts(cache: Path, marks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What the encoded data sets of a cache say of themselves, the newest first; of those that name one of the marks.

    A cache has hundreds, and to parse them all takes longer than all else of a plan.
    """
    marks = [json.dumps(mark)[1:-1] for mark in marks]
    files: list[tuple[float, Path]] = []
    for file in cache.glob(f"*/{ABOUT}"):
        with suppress(OSError):
            files.append((file.stat().st_mtime, file))
    for _, file in sorted(files, reverse=True):
        with suppress(OSError, ValueError):
            text = file.read_text(encoding="utf-8")
            if any(mark in text for mark in marks):
                yield json.loads(text)


def _is_of(about: Mapping[str, Any], source: Source, place: str | None) -> bool:
    """Whether a set was made of the files of an entry, which are as they were.

    Args:
        place: of the entry on this machine, in full; None where a hub has it.
    """
    stamps = about.get("files") or ()
    if (place is None or source.pattern is not None) and about.get("path") != source.entry.path:
        return False
    if place is not None and not all(stamp[0] == place or stamp[0].startswith(place + os.sep) for stamp in stamps):
        return False
    return bool(stamps) and all(map(_unchanged, stamps))


def _unchanged(stamp: Sequence[Any]) -> bool:
    with suppress(OSError):
        there = Path(stamp[0]).stat()
        return [there.st_size, there.st_mtime_ns] == list(stamp[1:3])
    return False


def _is_alike(about: Mapping[str, Any], options: Datasets, source: Source, plan: Plan, most: int | None) -> bool:
    """Whether a set was encoded by the same model, and with the same options of all that takes part."""
    parts, model = about.get("parts") or {}, about.get("made_with", {}).get("model")
    if model != getattr(plan.plugin("model"), "path", None):
        return False
    format = str(about.get("format"))
    if parts.get("options of data") != options_of_reading(format, source.entry, most, options.batch_size):
        return False
    for part, told in parts.items():
        kind, dot, name = part.removeprefix("options of ").partition(".")
        if part.startswith("options of ") and dot:
            plugin = plan.plugin(kind, name) if plan.uses(kind, name) else None
            if plugin is None or options_of(plugin) != told:
                return False
    return True


def _files(source: Source) -> list[Path]:
    """The files of an entry on this machine, as far as names tell which they are; [] where they do not."""
    if source.hub("huggingface") != "local":
        return []
    base, split = Path(source.base).expanduser(), source.entry.split or "train"
    if base.is_file():
        return [base] if is_data_file(base) else []
    if not base.is_dir():
        return []
    found = sorted(path for path in base.glob(source.pattern or "*") if path.is_file() and is_data_file(path))
    return found if source.pattern else [path for path in found if split in path.name] or found


def _mixed(options: Datasets, sources: Sequence[Source], sets: Sequence[_Set]) -> int | None:
    """Examples of an epoch, as several sets become one."""
    counts = []
    for source, known in zip(sources, sets, strict=True):
        if known.examples is None and source.entry.samples is None:
            return None
        counts.append(source.entry.samples or known.examples or 0)
    if options.mix in ("concat", "interleave_once") or len(counts) == 1:
        return sum(counts)
    whole = sum(source.entry.weight for source in sources)
    needed = [count * whole / source.entry.weight for count, source in zip(counts, sources, strict=True)]
    return math.ceil(min(needed) if options.mix == "interleave_under" else max(needed))


def _held_out(options: Datasets, examples: int | None) -> int:
    """Examples that `val_size` takes of the training sets."""
    if not options.val_size or examples is None:
        return 0
    return round(options.val_size * examples) if options.val_size < 1 else min(int(options.val_size), examples)
