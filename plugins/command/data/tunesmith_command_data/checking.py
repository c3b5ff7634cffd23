"""`tunesmith data check`: what is wrong with data sets, as tables or JSON, and a set without it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from tunesmith import TunesmithError
from tunesmith.cli.languages import joined, translate
from tunesmith.cli.output import framed, say
from tunesmith.cli.tables import print_table
from tunesmith_library_linting import Leaks, Lengths, Linter, TooLong, mended, where

from .inputs import entries_of, measuring, named, read
from .outputs import with_media, writing

MESSAGES = (
    *(
        "{file}, row {row} ({place})",
        "{file}, row {row} (line {line})",
        "{file}, row {row}",
        "error",
        "warning",
        "note",
    ),
    *(
        "characters a row: {quantiles} ({longest}); {total} in all",
        "tokens a row: {quantiles} ({longest}); {total} in all",
    ),
)
_WIDTH = 40  # characters of the longest bar


def lint(
    words: Sequence[str],
    held_out: Sequence[str],
    benchmarks: Sequence[str],
    lengths: TooLong,
    chosen: Sequence[str],
    ignored: Sequence[str],
) -> Linter:
    """Check the sets that are named, those that are held out too.

    Raises: TunesmithError for a set that is not there, that is both trained on and measured on, or whose format nothing
        tells.
    """
    paths, options = entries_of(words)
    for both in sorted({*paths} & {*held_out, *benchmarks}):
        raise TunesmithError(f"{both} is named twice: every row that is measured is trained on.\nleave it out of one")
    names = named([*paths, *held_out, *benchmarks])
    leaks = Leaks([name for name, path in names.items() if path in held_out])
    linter = Linter(leaks, lengths, chosen, ignored)
    faults = {}
    for name, path in names.items():
        if path in benchmarks:
            faults[name] = read(path, name, {}, leaks.benchmark, raw=True)
        elif path in held_out:
            faults[name] = read(path, name, options, leaks.measured_on)
    for name, path in names.items():
        if path not in benchmarks:
            faults[name] = read(path, name, options, linter.look)
    for name, fault in faults.items():
        if fault:
            linter.failed(name, fault)
    linter.finish()
    return linter


def fix(linter: Linter, words: Sequence[str], out: Path) -> None:
    """Write the one set that was checked without what can be left out or masked, and say what became of its rows.

    Raises: TunesmithError when there are several.
    """
    paths, options = entries_of(words)
    if len(paths) > 1:
        raise TunesmithError(f"--fix writes one data set, and {len(paths)} are named\n  call it once for each")
    ((name, path),) = named(paths).items()
    with writing(out) as write:
        done, take = mended(linter, lambda item, record: write(with_media(record, item.file, out)))
        fault = read(path, name, options, take)
    say(f"{out}: {done.kept:,} of {linter.rows[name]:,} rows", err=True)
    for what, counts in (
        ("left out", done.left_out),
        ("masked", done.masked),
        ("kept as they are", done.as_they_are),
    ):
        if counts:
            say(f"  {what}: {_listed(counts)}", err=True)
    if fault:
        say(f"  what follows is not there, for it cannot be read: {fault}", err=True)


def print_report(linter: Linter, shown: int) -> None:
    """Print lengths, a table of what was found, and the first rows of each kind.

    Args:
        shown: how many findings of each check are told row by row.
    """
    for data, rows in linter.rows.items():
        say(f"{data}: {rows:,} rows")
        print_lengths(linter.lengths.lengths(data))
    if not linter.findings:
        say("nothing is wrong with them, as far as the checks see")
        return
    rows_of = [
        (
            one.check,
            translate(one.severity),
            f"{one.findings:,}",
            f"{one.rows:,}",
            translate(one.first),
            translate(one.says),
        )
        for one in linter.summaries()
    ]
    print_table(("check", "severity", "findings", "rows", "first", "what"), rows_of)
    told = Counter[str]()
    for finding in linter.findings:
        told[finding.check] += 1
        if told[finding.check] <= shown:
            said = joined((translate(where(finding)), finding.check, translate(finding.message)), ": ")
            click.echo(framed(f"{finding.severity}: …", said))
    left = sum(max(0, count - shown) for count in told.values())
    if left:
        say(f"{left:,} more; --show N tells more of each check, --json all")


def print_lengths(lengths: Lengths) -> None:
    """Print quantiles, and a histogram by powers of two."""
    about = lengths.to_json()
    if not about["rows"]:
        return
    quantiles = ", ".join(f"{name} {about[name]:,}" for name in ("p50", "p90", "p99", "max"))
    say(f"  {about['unit']} a row: {quantiles} ({about['longest']}); {about['total']:,} in all")
    histogram = lengths.histogram()
    most = max(rows for _, rows in histogram)
    width = len(f"{histogram[-1][0]:,}")
    for edge, rows in histogram:
        bar = "█" * round(_WIDTH * rows / most) or "▏"
        say(f"  up to {edge:>{width},} {bar} {rows:,}")


def report(linter: Linter, as_json: bool, shown: int) -> None:
    """Print what was found."""
    if as_json:
        click.echo(json.dumps(linter.to_json(), ensure_ascii=False, indent=1))
    else:
        print_report(linter, shown)


def standard_lengths(tokenizer: str | None, most: int | None) -> TooLong:
    """What measures rows, and how long they may be."""
    return measuring(tokenizer, most)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
