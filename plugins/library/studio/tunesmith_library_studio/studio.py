"""All parts of the working layer, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property

from tunesmith_library_studio.topics import Topics
from tunesmith_library_studio.workspace import Workspace


class Studio:
    """What a front end, or a program in its place, works with."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @cached_property
    def topics(self) -> Topics:
        """What changes, told to those who listen."""
        return Topics()

    def close(self) -> None:
        """End what must not outlive the front end; jobs go on."""
