"""The one exception root, and how an error reads: what was asked, what is possible, what to do next."""

import contextlib
from collections.abc import Iterator

from tunesmith_library_configuration.errors import ConfigError as ConfigError
from tunesmith_library_configuration.errors import TunesmithError as TunesmithError
from tunesmith_library_configuration.errors import choices as choices
from tunesmith_library_configuration.errors import nearest as nearest

RESUMABLE = 75  # exit code of a command that was interrupted and can go on: EX_TEMPFAIL of sysexits.h


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
