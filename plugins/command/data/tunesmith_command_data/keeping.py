"""`tunesmith data encode` and `tunesmith data cache`: what is encoded beforehand, what is kept, and what may go."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click
from tunesmith import TunesmithError
from tunesmith.cli.output import say
from tunesmith.cli.tables import print_table
from tunesmith_library_caching import mark_used, read_about
from tunesmith_library_caching.listing import Kept, listed
from tunesmith_library_caching.pruning import Choice, prune
from tunesmith_library_configuration.locks import refuse_inside
from tunesmith_library_configuration.space import in_words

from .encoded import encode

_UNITS = {"B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([BKMGT]?)(?:i?B)?", re.IGNORECASE)
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def encode_and_tell(config: str | None, overrides: Sequence[str], output: str | None) -> None:
    """Encode the data of a run, and print where they lie and how the run finds them."""
    if output:
        refuse_inside(Path(output))
    words = [*overrides, *([f"data.cache_dir={output}"] if output else [])]
    rows = []
    for folder in encode(config, words):
        about = read_about(folder)
        mark_used(folder)
        tokens = about.get("tally", {}).get("sizes", {}).get("tokens")
        rows.append((about.get("name", ""), f"{about['examples']:,}", _number(tokens), in_words(about["size"]), folder))
    print_table(("data set", "examples", "tokens", "size", "folder"), [tuple(map(str, row)) for row in rows])
    if output:
        say(f"a run takes them with data.cache_dir={output}, also on another machine with the same versions")


def size_in_bytes(text: str) -> int:
    """The bytes of `500M` or `1.5 GiB`. Raises: TunesmithError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise TunesmithError(f"{text} is no size\n  500M, 2G, or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2].upper() or "B"])


def cache(folder: Path | None, choice: Choice, delete: bool, as_json: bool) -> None:
    """Print what is kept, or what of it is chosen; and delete that when it is asked for.

    Raises: TunesmithError where everything would be deleted that nobody chose, or there is no such folder.
    """
    if delete and not choice:
        advice = "--all, --older DAYS, --larger SIZE, --damaged, --leftovers or --unused says what"
        raise TunesmithError(f"--prune deletes what is chosen, and nothing is\n  {advice}")
    if folder is not None and not folder.is_dir():
        raise TunesmithError(f"there is no folder {folder}")
    found = listed(folder, thorough=choice.damaged)
    chosen = [kept for kept in found if choice.why(kept)] if choice else found
    freed = dict(prune(chosen)) if delete else {}
    if as_json:
        told = [{**kept.to_json(), "why": choice.why(kept), "freed": freed.get(kept, 0)} for kept in chosen]
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    if chosen:
        print_table(_HEADINGS, [_row(kept, choice) for kept in chosen])
    if not delete:
        say(_summary(chosen, found, bool(choice)))
        return
    for kept in (kept for kept, size in freed.items() if size is None):
        say(f"stays, for it is in use: {kept.place}", err=True)
    gone = [size for size in freed.values() if size is not None]
    say(f"deleted: {len(gone)} of {len(found)}, {in_words(sum(gone))}")


_HEADINGS = ("what", "name", "examples", "tokens", "size", "used", "made of", "remarks")


def _row(kept: Kept, choice: Choice) -> tuple[str, ...]:
    made_of = ", ".join(f"{key} {value}" for key, value in kept.made_of.items() if value)
    remark = choice.why(kept) or (f"damaged: {kept.damage}" if kept.damage else kept.unused)
    sizes = (_number(kept.rows), _number(kept.tokens), in_words(kept.size))
    return (kept.kind, kept.name, *sizes, _ago(kept.used), made_of or str(kept.place), remark)


def _summary(chosen: Sequence[Kept], found: Sequence[Kept], picked: bool) -> str:
    whole = f"{len(found)} things, {in_words(sum(kept.size for kept in found))}"
    if not picked:
        return f"{whole}; --unused, --older DAYS … choose some"
    advice = "; --prune deletes them" if chosen else ""
    return f"chosen: {len(chosen)} of {whole.replace(' things', '')}: {in_words(sum(k.size for k in chosen))}{advice}"


def _ago(when: float) -> str:
    seconds = max(0.0, time.time() - when)
    return next((f"{seconds / span:.0f} {unit} ago" for span, unit in _SPANS if seconds >= span), "now")


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
