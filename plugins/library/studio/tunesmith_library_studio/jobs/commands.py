"""What a job may do: some of the program's own commands, with paths in the workspace."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_library_studio.workspace import Workspace

COMMANDS = ("train", "export", "eval", "predict", "data", "diff", "plot", "verify")
"""Those that a client may name; others serve, ask at a terminal, or are over at once."""


def refuse_outside(command: Sequence[str], workspace: Workspace) -> None:
    """Refuse a command that is no job's, or one of whose words is a path out of the workspace.

    Raises: TunesmithError, OutsideWorkspace.
    """
    name = command[0] if command else ""
    if name not in COMMANDS:
        raise TunesmithError(f"{name or 'no command'}: no command of a job.\n{choices(name, COMMANDS, 'possible')}")
    for word in command[1:]:
        value = word.partition("=")[2] if "=" in word else word
        for part in value.strip("[]{}").split(","):
            path = part.rpartition(": ")[2].strip(" '\"[]{}")
            if path.startswith(("/", "~")) or ".." in path.split("/"):
                workspace.path(path)
