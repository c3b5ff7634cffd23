"""The one exception root, and how an error reads: what was asked, what is possible, what to do next."""

from tunesmith_library_configuration.errors import ConfigError as ConfigError
from tunesmith_library_configuration.errors import TunesmithError as TunesmithError
from tunesmith_library_configuration.errors import choices as choices
from tunesmith_library_configuration.errors import nearest as nearest
from tunesmith_library_configuration.errors import noted as noted

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
    """The user stopped a command that can go on where it was; the message is how.

    A subclass whose cause would come again has another `code`, so that scripts do not repeat it for ever.
    """

    code = RESUMABLE  # exit code of the command
