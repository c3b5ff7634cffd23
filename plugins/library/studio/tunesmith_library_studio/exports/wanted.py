"""An export as a client asks for it, and the command that makes it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.files import numbered
from tunesmith_library_configuration.overrides import written_overrides

from tunesmith_library_studio.configuring.places import hold_inside
from tunesmith_library_studio.workspace import Workspace

_PLUGIN = re.compile(r"\w[\w-]*(:\w[\w-]*)?")  # a name, and no file


@dataclass(frozen=True)
class Wanted:
    """What is exported, in which forms, to where."""

    source: str  # folder of a run, a checkpoint, an adapter or a model; or a model's name or id
    exporters: Mapping[str, Mapping[str, Any]]  # their options by name
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of further keys, such as {"quantizer": None}
    output: str | None = None  # folder to write; None for a free one

    def checked(self, workspace: Workspace) -> Wanted:
        """This one, with a folder to write.

        Raises: TunesmithError for a name that is none, and for a path that leads out of the workspace.
        """
        if not self.exporters:
            raise TunesmithError("no exporter is chosen.\n  merged writes the whole model")
        for name in self.exporters:
            if not _PLUGIN.fullmatch(name):
                raise TunesmithError(f"{name} is no name of an exporter.")
        hold_inside({"source": self.source, "exporter": self.exporters, **self.overrides}, workspace)
        if self.is_path(workspace):
            workspace.path(self.source)
        output = workspace.path(self.output) if self.output else self._free(workspace)
        return Wanted(self.source, self.exporters, self.overrides, workspace.shown(output))

    def is_path(self, workspace: Workspace) -> bool:
        """Whether the source is a folder or file here, and not a name."""
        return self.source.startswith(("/", ".", "~")) or (workspace.root / self.source).exists()

    def words(self, workspace: Workspace) -> list[str]:
        """The source and the overrides, as arguments of a command."""
        return [*([self.source] if self.is_path(workspace) else []), *self.changes(workspace)]

    def changes(self, workspace: Workspace) -> list[str]:
        """Everything that is said beside a path."""
        named = {} if self.is_path(workspace) else {"model.path": self.source}
        options = {
            f"exporter.{name}.{option}": value
            for name, chosen in self.exporters.items()
            for option, value in chosen.items()
        }
        names = list(self.exporters)
        chosen = names if len(names) > 1 else names[0]
        return written_overrides({**named, "exporter": chosen, **self.overrides, **options})

    def command(self, workspace: Workspace) -> list[str]:
        """The command, without the program's name."""
        return ["export", *self.words(workspace), *(["--output", self.output] if self.output else [])]

    def line(self, workspace: Workspace) -> str:
        """The command as one types it."""
        return shlex.join(["tunesmith", *self.command(workspace)])

    def _free(self, workspace: Workspace) -> Path:
        """A folder beside the runs that is not there yet: RUN-EXPORTER, or RUN-exported of several."""
        path = workspace.root / self.source
        name = f"{path.parent.name}-{path.name}" if path.name.startswith("checkpoint-") else path.name
        form = next(iter(self.exporters)) if len(self.exporters) == 1 else "exported"
        plain = re.sub(r"[^\w.-]+", "-", f"{name}-{form}".replace(":", "-"))
        return next(folder for folder in numbered(workspace.runs / plain) if not folder.exists())
