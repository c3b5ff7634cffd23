"""All parts of the working layer, each made when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tunesmith_library_studio.topics import Topics
from tunesmith_library_studio.workspace import Workspace

if TYPE_CHECKING:
    from tunesmith_library_studio.configuring import Configuring, Forms
    from tunesmith_library_studio.models import Models


class Studio:
    """What a front end, or a program in its place, works with."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @cached_property
    def topics(self) -> Topics:
        """What changes, told to those who listen."""
        return Topics()

    @cached_property
    def models(self) -> Models:
        """Models that can be chosen."""
        from tunesmith_library_studio.models import Models

        return Models(self.workspace)

    @cached_property
    def forms(self) -> Forms:
        """The form of every option that is installed."""
        from tunesmith_library_studio.configuring import Forms

        return Forms(self.workspace)

    @cached_property
    def configuring(self) -> Configuring:
        """Drafts of configurations, and what a plan says of them."""
        from tunesmith_library_studio.configuring import Configuring

        return Configuring(self.workspace, self.forms)

    def close(self) -> None:
        """End what must not outlive the front end; jobs go on."""
        if "configuring" in vars(self):
            self.configuring.close()
