"""Patterns of dotted names: how options such as `target_modules` and `freeze` choose parts of a model."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase, translate

from tunesmith.errors import TunesmithError, choices


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern fits a run of whole parts of a dotted name; `*`, `?` and `[0-9]` as in file names.

    `q_proj` fits everything of that name or inside it, `self_attn` all that is in such a block, `layers.1?` ten blocks.
    """
    parts = name.split(".")
    runs = (".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
    return any(fnmatchcase(run, pattern) for run in runs)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of several patterns fits a dotted name."""
    return any(matches(name, pattern) for pattern in patterns)


def as_regex(pattern: str) -> str:
    """A pattern as transformers reads names: a regular expression from a name's start to a dot."""
    return r"(?:.*\.)?" + translate(pattern).removesuffix(r"\Z").removesuffix(r"\z")


def refuse_unknown(option: str, patterns: Iterable[str], names: Sequence[str], what: str) -> None:
    """Check that every pattern fits something.

    Args:
        option: the dotted key that holds the patterns, such as `adapter.target_modules`.
        names: dotted names, one of which each pattern must fit.
        what: what the names are, in the singular: `layer`, `parameter`.

    Raises: TunesmithError that lists the parts of the names (numbers left out), with the nearest to what was asked.
    """
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            known = choices(pattern.rpartition(".")[2], parts_of(names), "parts of their names")
            raise TunesmithError(f"{option}={pattern}: fits no {what} of this model.\n  {known}")


def parts_of(names: Iterable[str]) -> set[str]:
    """The parts of dotted names that are no numbers."""
    return {part for name in names for part in name.split(".") if part and not part.isdigit()}
