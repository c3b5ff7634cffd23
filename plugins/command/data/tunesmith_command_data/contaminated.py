"""`tunesmith data contamination`: how much of evaluation sets stands in training data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
from tunesmith import DataError, TunesmithError
from tunesmith.cli.output import say
from tunesmith.cli.tables import print_table
from tunesmith_library_linting import Contamination, Example, Item, Overlap

from .inputs import entries_of, named, read

_WIDTH = 100  # characters of an example that are shown


@dataclass(frozen=True)
class Found:
    """What was found, and what of the sets was not read."""

    overlaps: Mapping[str, Overlap]
    rows: int  # training rows that were looked at
    unread: int  # training rows that their format cannot read


def look(words: Sequence[str], held_out: Sequence[str], benchmarks: Sequence[str], run: int) -> Found:
    """Look for examples of the sets that are measured on in the training sets that `words` name.

    Raises: TunesmithError when nothing is measured on, for a set that is not there, or whose format nothing tells;
        DataError for one that cannot be read to its end.
    """
    paths, options = entries_of(words)
    if not held_out and not benchmarks:
        raise TunesmithError("no evaluation set is named\n  write --eval test.json, or --benchmark mmlu/test.csv")
    names = named([*paths, *held_out, *benchmarks])
    contamination, counts = Contamination(run), Counter[bool]()

    def looked(items: Sequence[Item]) -> None:
        contamination.look(items)
        counts.update(item.content is not None for item in items)

    for name, path in names.items():
        if path in benchmarks or path in held_out:
            raw = path in benchmarks
            _refuse(name, read(path, name, {} if raw else options, contamination.measured_on, raw=raw))
    for name, path in names.items():
        if path in paths:
            _refuse(name, read(path, name, options, looked))
    return Found(contamination.overlaps(), counts[True], counts[False])


def _refuse(name: str, fault: str) -> None:
    """Raises: DataError for a set of which a part was not read: what is not seen is not clean."""
    if fault:
        raise DataError(f"{name} cannot be read to its end: {fault}\n  tunesmith data check {name} tells where")


def report(found: Found, threshold: float, run: int, as_json: bool, show: int) -> None:
    """Print a table by set, and the examples of which the most is trained."""
    if as_json:
        click.echo(json.dumps(to_json(found, threshold, run), ensure_ascii=False, indent=1))
        return
    unread = f"; {found.unread:,} more cannot be read" if found.unread else ""
    say(f"{found.rows:,} training rows{unread}; runs of {run} words")
    print_table(
        ("evaluation set", "examples", "with a run", f"{threshold:.0%} and more", "mean share", "too short to tell"),
        [
            (
                name,
                f"{len(overlap.examples):,}",
                f"{overlap.touched:,}",
                f"{len(overlap.over(threshold)):,}",
                f"{overlap.mean:.2%}",
                f"{overlap.short:,}",
            )
            for name, overlap in found.overlaps.items()
        ],
    )
    for overlap in found.overlaps.values():
        touched = [example for example in overlap.over(0) if example.found]
        for example in touched[:show]:
            click.echo(_line(example))
        if len(touched) > show:
            say(f"{len(touched) - show:,} more; --show N tells more of each set, --json all")


def _line(example: Example) -> str:
    text = " ".join(example.text.split())
    shown = text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
    where = f" ({example.place})" if example.place else ""
    return f"{example.share:.0%} of row {example.row} of {example.data}{where} in {', '.join(example.rows)}: {shown}"


def to_json(found: Found, threshold: float, run: int) -> dict[str, object]:
    """The whole report."""
    sets = {
        name: {
            "examples": len(overlap.examples),
            "with_a_run": overlap.touched,
            "over_threshold": len(overlap.over(threshold)),
            "mean_share": overlap.mean,
            "too_short": overlap.short,
            "found": [
                {"row": it.row, "place": it.place, "share": it.share, "training_rows": list(it.rows), "text": it.text}
                for it in overlap.over(0)
                if it.found
            ],
        }
        for name, overlap in found.overlaps.items()
    }
    return {"run": run, "threshold": threshold, "training_rows": found.rows, "unread": found.unread, "sets": sets}
