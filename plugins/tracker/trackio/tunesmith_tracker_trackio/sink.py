"""What Trackio is told, which keeps it in a database: on this machine under TRACKIO_DIR."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith_library_tracking import artefacts
from tunesmith_library_tracking.evaluations import columns
from tunesmith_library_tracking.sink import Start, Status, Table

if TYPE_CHECKING:
    from tunesmith_tracker_trackio import Trackio


class TrackioSink:
    """A run of Trackio. Its own metrics of the system are off."""

    def __init__(self, options: Trackio) -> None:
        self._options = options
        self._run: Any = None
        self._step = 0  # the last one
        self._last: dict[str, float] = {}  # the last values

    def begin(self, start: Start) -> str:
        import trackio

        options = self._options
        self._run = trackio.init(
            project=options.project or os.environ.get("TRACKIO_PROJECT") or "tunesmith",
            name=start.known_as or start.name,
            group=options.group,
            space_id=options.space_id,
            bucket_id=options.bucket_id,
            server_url=options.server_url,
            private=options.private,
            config=dict(start.config),
            resume="allow" if start.known_as else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return str(self._run.name)

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        self._step = step
        self._last |= numbers
        system = {name: value for name, value in numbers.items() if name.startswith("system/")}
        rest = {name: value for name, value in numbers.items() if name not in system}
        if system:
            self._run.log_system({name.removeprefix("system/"): value for name, value in system.items()})
        if rest:
            self._run.log(rest, step=step)

    def table(self, table: Table) -> None:
        import pandas
        import trackio

        for name, rows in (("numbers", table.numbers), ("examples", table.examples)):
            if rows:
                frame = pandas.DataFrame(list(rows), columns=columns(rows))
                self._run.log({f"eval/{table.name}/{name}": trackio.Table(dataframe=frame)}, step=table.step)

    def result(self, folder: Path) -> None:
        import trackio

        self._run.log({"result": trackio.Markdown(f"`{folder.resolve()}`")}, step=self._step)
        if self._options.log_model:
            artefact = trackio.Artifact(f"model-{self._run.name}", type="model")
            for file in artefacts.files(folder):
                artefact.add_file(str(file), name=file.name)
            self._run.log_artifact(artefact)

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        new = {name: value for name, value in numbers.items() if self._last.get(name) != value}
        if new:
            self._run.log(new, step=self._step)
        self._run.finish()
