"""What is said of a data set once it is encoded: what became of its records, and how many tokens they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunesmith import announce
from tunesmith.messages import logger
from tunesmith_library_formats import Tally

if TYPE_CHECKING:
    from .caching import Encoded


MESSAGES = ("from the cache",)


def sum_up(name: str, format: str, encoded: Encoded, held: dict[str, int]) -> None:
    """Say in one line what a data set has become, and then what is the matter with some of its records.

    Args:
        held: of how many rows the user's rules hold something, by rule; these are added.
    """
    tally, records, examples = encoded.tally, encoded.records, len(encoded.examples)
    lost = tally.lost
    made = f"{format}, {records:,} records"
    if lost:
        made += f"; {lost:,} left out ({lost / records:.1%})"
    if examples < records - lost:
        made += f"; the stage joined or left out {records - lost - examples:,}"
    if tally.sizes.longest:
        made += f"; {tally.sizes.of(records)}"
    announce(f"data {name}", f"{examples:,} examples", made + (", from the cache" if encoded.cached else ""))
    say_counts(name, records, tally)
    for rule, rows in tally.matches.items():
        held[rule] = held.get(rule, 0) + rows


def warn_of_idle(held: Mapping[str, int]) -> None:
    """Warn of the user's rules that hold nothing in any data set."""
    for rule, rows in held.items():
        if not rows:
            logger.warning("%s: it holds nothing of any row", rule)


def say_sizes(name: str, records: int, tally: Tally, which: str) -> None:
    """Say how many tokens some records of a stream have."""
    if tally.sizes.longest:
        announce(f"data {name}", f"{records:,} records", f"{which}; {tally.sizes.of(records)}")


def say_counts(name: str, records: int, tally: Tally, of: str = "") -> None:
    """Say what is the matter with records, and what the user's rules hold of them.

    Args:
        of: begins each line, of a stream: `of a whole pass, `.
    """
    for share in tally.shares.values():
        logger.warning("data %s: %s%s", name, of, share.of(records))
    for rule, rows in tally.matches.items():
        level = logger.warning if of and not rows else logger.info  # several sets are warned of together
        level("data %s: %s%s: %s of %s rows", name, of, rule, f"{rows:,}" if rows else "none", f"{records:,}")
