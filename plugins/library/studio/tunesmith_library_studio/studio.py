"""All parts of the working layer, each made when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith_library_studio.parts import part
from tunesmith_library_studio.topics import Topics
from tunesmith_library_studio.workspace import Workspace

if TYPE_CHECKING:
    from tunesmith_library_studio.chats import Chats
    from tunesmith_library_studio.configuring import Configuring, Forms
    from tunesmith_library_studio.data import Data
    from tunesmith_library_studio.devices import Devices
    from tunesmith_library_studio.evaluations import Evaluations
    from tunesmith_library_studio.exports import Exports
    from tunesmith_library_studio.installed import Installed
    from tunesmith_library_studio.jobs import Jobs
    from tunesmith_library_studio.models import Models
    from tunesmith_library_studio.runs import Runs
    from tunesmith_library_studio.watching.curves import Curves
    from tunesmith_library_studio.watching.watching import Watching


class Studio:
    """What a front end, or a program in its place, works with."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.making = threading.RLock()

    @part
    def topics(self) -> Topics:
        """What changes, told to those who listen."""
        topics = Topics()
        topics.offer("jobs", lambda _: self.jobs.watcher())
        topics.offer("job", lambda id: self.jobs.watcher(id))
        topics.offer("run", lambda name: self.watching.run(name))
        topics.offer("runs", lambda _: self.runs.watcher())
        topics.offer("machine", lambda _: self.watching.machine())
        topics.offer("chats", lambda _: self.chats.watcher())
        return topics

    @part
    def runs(self) -> Runs:
        """Runs, whoever started them."""
        from tunesmith_library_studio.runs import Runs

        return Runs(self.workspace, lambda: self.jobs.list())

    @part
    def evaluations(self) -> Evaluations:
        """Results of evaluations, and files of answers."""
        from tunesmith_library_studio.evaluations import Evaluations

        return Evaluations(self.workspace, lambda: self.runs.folders(), lambda: self.jobs)

    @part
    def chats(self) -> Chats:
        """Models that are loaded and answer, and what is kept of conversations with them."""
        from tunesmith_library_studio.chats import Chats

        return Chats(self.workspace)

    @part
    def devices(self) -> Devices:
        """What jobs can compute on."""
        from tunesmith_library_studio.devices import Devices

        return Devices()

    @part
    def jobs(self) -> Jobs:
        """Commands that run as processes of their own, and outlive the front end; their queue goes on from here on."""
        from tunesmith_library_studio.jobs import Jobs

        return Jobs(self.workspace, self.devices)

    @part
    def models(self) -> Models:
        """Models that can be chosen."""
        from tunesmith_library_studio.models import Models

        return Models(self.workspace)

    @part
    def forms(self) -> Forms:
        """The form of every option that is installed."""
        from tunesmith_library_studio.configuring import Forms

        return Forms(self.workspace)

    @part
    def configuring(self) -> Configuring:
        """Drafts of configurations, and what a plan says of them."""
        from tunesmith_library_studio.configuring import Configuring

        return Configuring(self.workspace, self.forms)

    @part
    def data(self) -> Data:
        """Data sets and prompts."""
        from tunesmith_library_studio.data import Data

        return Data(self.workspace)

    @part
    def curves(self) -> Curves:
        """What runs logged, as a front end draws it."""
        from tunesmith_library_studio.watching.curves import Curves

        return Curves(self.workspace)

    @part
    def watching(self) -> Watching:
        """Runs while they go on: state, log, warnings, samples."""
        from tunesmith_library_studio.watching.watching import Watching

        return Watching(self.curves, self._row_of_run, self._log_of_run, self._gpus, self.workspace.runs)

    def _row_of_run(self, name: str) -> Mapping[str, Any]:
        return self.runs.row(name)

    def _log_of_run(self, name: str) -> Path | None:
        job = self.jobs.of_run(name)
        return job.log if job and not job.elsewhere else None

    def _gpus(self) -> list[dict[str, Any]]:
        return [device.told() for device in self.devices.now() if device.kind != "cpu"]

    @part
    def exports(self) -> Exports:
        """What is exported, and was."""
        from tunesmith_library_studio.exports import Exports

        return Exports(self.workspace, self.forms, self.models, self.jobs)

    @part
    def installed(self) -> Installed:
        """Plugins."""
        from tunesmith_library_studio.installed import Installed

        return Installed(self.forms)

    def begin(self) -> None:
        """Have the queue of jobs go on, from now until `close`; before requests come, which several threads answer."""
        _ = self.jobs
        self.forms.prepare()

    def warm_up(self) -> None:
        """Import what is asked for next, so that a long run opens at once; in a thread, when the first page is out."""
        import msgspec.json  # noqa: F401  # curves are read with it

        _ = self.watching, self.runs

    def close(self) -> None:
        """End what must not outlive the front end; jobs go on."""
        for name in ("jobs", "configuring", "chats", "data"):
            if name in vars(self):  # made, as it was asked for
                getattr(self, name).close()
