"""Runs in SwanLab."""

from __future__ import annotations

from typing import ClassVar, Literal

from tunesmith import plugin
from tunesmith_library_tracking import Sink, Tracked


@plugin
class SwanLab(Tracked):
    """Keeps runs in SwanLab: in its cloud, or in files of the run's folder.

    The key comes from SWANLAB_API_KEY or `swanlab login`; without one a run is kept offline.
    """

    program: ClassVar[str] = "swanlab"
    package: ClassVar[str] = "swanlab"
    install: ClassVar[str] = "pip install 'tunesmith-tracker-swanlab[program]'"
    guarded: ClassVar[tuple[str, ...]] = ("project", "workspace", "mode", "public")  # where what is sent

    project: str | None = None  # null is SWANLAB_PROJ_NAME, else tunesmith
    workspace: str | None = None  # user or organisation; null is SWANLAB_WORKSPACE, else the key's own
    # cloud is online; offline can be sent later (swanlab sync), local is shown here; null is SWANLAB_MODE, else online
    mode: Literal["online", "cloud", "offline", "local", "disabled"] | None = None
    public: bool = False  # whether everyone may see a new project in the cloud
    group: str | None = None  # runs that are shown together
    tags: list[str] = []  # by which runs are found
    notes: str | None = None  # what the run is about

    def sink(self) -> Sink:
        from .sink import SwanLabSink

        return SwanLabSink(self)
