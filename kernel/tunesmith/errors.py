"""The one exception root, and how an error reads: what was asked, what is possible, what to do next."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator

RESUMABLE = 75  # exit code of a command that was interrupted and can go on: EX_TEMPFAIL of sysexits.h

_LISTED = 12  # names that a message lists at most
_LISTED_BESIDE_NEAREST = 5  # of a longer list, when one of the names is likely meant


class TunesmithError(Exception):
    """A mistake that the user can mend. The command line prints it without traceback, exit code 2."""


class ConfigError(TunesmithError):
    """The configuration cannot become a run; the message lists every problem that was found."""


class PluginError(TunesmithError):
    """A plugin is missing, broken, ambiguous, or does not keep to the hook specifications."""


class DataError(TunesmithError):
    """A data set cannot be read or does not have the expected shape."""


class WorkersFailed(TunesmithError):
    """A process of a run of several failed, and has said why; `code` is the exit code of the run."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a process of the run failed with exit code {code}; what it said stands above")
        self.code = code


class Interrupted(KeyboardInterrupt):
    """The user stopped a command that can go on where it was; the message is how."""


def nearest(asked: str, possible: Iterable[str]) -> str | None:
    """The member of `possible` that looks most like `asked`, in any case of letters; None when nothing does."""
    names = {name.lower(): name for name in possible}
    matches = difflib.get_close_matches(asked.lower(), names, n=1, cutoff=0.6)
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


def _likeness(asked: str, name: str) -> float:
    return difflib.SequenceMatcher(None, asked.lower(), name.lower()).ratio()


@contextlib.contextmanager
def noted(label: str) -> Iterator[None]:
    """Add to an exception which hook of which plugin it left; the innermost one is named."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, TunesmithError) and not any(note.startswith("while ") for note in _notes(error)):
            error.add_note(f"while {label}")
        raise


def _notes(error: Exception) -> list[str]:
    return getattr(error, "__notes__", [])
