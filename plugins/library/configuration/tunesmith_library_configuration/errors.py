"""The root of all mistakes that a user can mend, and what a message says is possible."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

_LISTED = 12  # names that a message lists at most
_LISTED_BESIDE_NEAREST = 5  # of a longer list, when one of the names is likely meant
_SUFFIX = re.compile(r"(?<=.)(\.(jsonl?|ndjson|csv|tsv|txt|parquet|arrow|ya?ml|py|gz|bz2|xz|zst|zip|tar|tgz))+$")


class TunesmithError(Exception):
    """A mistake that the user can mend. The command line prints it without traceback, exit code 2."""


class ConfigError(TunesmithError):
    """The configuration cannot be used; the message lists every problem that was found."""


class OptionsError(TunesmithError):
    """A class has a field that no configuration can hold."""


def nearest(asked: str, possible: Iterable[str], likeness: float = 0.6) -> str | None:
    """The member of `possible` that looks most like `asked`, in any case of letters; None when nothing does.

    What files have in common by their suffix makes them no more alike, and their folders make them no less.
    """
    names: dict[str, str] = {}
    for name in possible:
        stem = _stem(name)
        if stem not in names or _likeness(asked, name) > _likeness(asked, names[stem]):
            names[stem] = name
    matches = difflib.get_close_matches(_stem(asked), names, n=1, cutoff=likeness)
    return names[matches[0]] if matches else None


def choices(asked: str, possible: Iterable[str], label: str = "possible") -> str:
    """One line that lists what is possible, with the nearest match: "possible: a, b   did you mean a?".

    Of many names those that look most like `asked` are listed: twelve, or five when one of them is near.
    """
    names = sorted(possible)
    near = nearest(asked, names)
    if len(names) > _LISTED:
        shown = _LISTED_BESIDE_NEAREST if near else _LISTED
        names = [*sorted(names, key=lambda name: -_likeness(asked, name))[:shown], "…"]
    line = f"{label}: {', '.join(names) or 'nothing'}"
    return f"{line}   did you mean {near}?" if near else line


def _stem(name: str) -> str:
    """A name to compare: that of a file without its folders and suffix."""
    stem, files = _SUFFIX.subn("", name.lower())
    return stem.rpartition("/")[2] if files else stem


def _likeness(asked: str, name: str) -> float:
    return difflib.SequenceMatcher(None, asked.lower(), name.lower()).ratio()


@contextlib.contextmanager
def noted(label: str) -> Iterator[None]:
    """Add to an exception in which work it arose: `while LABEL`; the innermost one is named."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, TunesmithError) and not any(note.startswith("while ") for note in _notes(error)):
            error.add_note(f"while {label}")
        raise


def _notes(error: Exception) -> list[str]:
    return getattr(error, "__notes__", [])
