"""The one exception root, and how an error reads: what was asked, what is possible, what to do next."""

import difflib
from collections.abc import Iterable


class TunesmithError(Exception):
    """A mistake that the user can mend. The command line prints it without traceback, exit code 2."""


class ConfigError(TunesmithError):
    """The configuration cannot become a run; the message lists every problem that was found."""


class PluginError(TunesmithError):
    """A plugin is missing, broken, ambiguous, or does not keep to the hook specifications."""


class DataError(TunesmithError):
    """A data set cannot be read or does not have the expected shape."""


def nearest(asked: str, possible: Iterable[str]) -> str | None:
    """The member of `possible` that looks most like `asked`, or None when nothing does."""
    matches = difflib.get_close_matches(asked, list(possible), n=1, cutoff=0.6)
    return matches[0] if matches else None


def choices(asked: str, possible: Iterable[str], label: str = "possible") -> str:
    """One line that lists what is possible, with the nearest match: "possible: a, b   did you mean a?"."""
    names = sorted(possible)
    line = f"{label}: {', '.join(names) or 'nothing'}"
    near = nearest(asked, names)
    return f"{line}   did you mean {near}?" if near else line
