"""What SwanLab is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.messages import logger
from tunesmith_library_tracking.evaluations import markdown
from tunesmith_library_tracking.sink import Start, Status, Table

if TYPE_CHECKING:
    from tunesmith_tracker_swanlab import SwanLab

_ENDS = {"finished": "success", "interrupted": "aborted", "failed": "crashed"}


class SwanLabSink:
    """A run of SwanLab. Its own metrics of the system and its copy of the console are off."""

    def __init__(self, options: SwanLab) -> None:
        self._options = options
        self._run: Any = None

    def begin(self, start: Start) -> str:
        import swanlab

        options = self._options
        settings = swanlab.Settings(
            interactive=False,  # nobody is asked for a key in the midst of a run
            terminal=swanlab.Settings.Terminal(proxy_type="none"),
            probe=swanlab.Settings.Probe(monitor=False, requirements=False),
        )
        self._run = swanlab.init(
            project=options.project or os.environ.get("SWANLAB_PROJ_NAME") or "tunesmith",
            workspace=options.workspace,
            name=start.name,
            description=options.notes,
            group=options.group,
            tags=options.tags or None,
            public=options.public or None,
            config=dict(start.config),
            log_dir=str(start.output_dir / "swanlog"),
            mode=self._mode(settings),
            id=start.known_as,
            resume="allow" if start.known_as else "never",
            settings=settings,
        )
        return str(self._run.id)

    def _mode(self, settings: Any) -> Any:
        mode = self._options.mode or os.environ.get("SWANLAB_MODE") or "online"
        if mode in ("online", "cloud") and not settings.api_key:
            logger.warning(
                "tracker.swanlab: there is no key, and the run is kept offline; "
                "export SWANLAB_API_KEY=..., or send it later: swanlab sync RUN/swanlog/run-*"
            )
            return "offline"
        return "online" if mode == "cloud" else mode

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        self._run.log(dict(numbers), step=step)

    def table(self, table: Table) -> None:
        import swanlab

        shown = {"numbers": table.numbers, "examples": table.examples}
        texts = {f"eval/{table.name}/{name}": swanlab.Text(markdown(rows)) for name, rows in shown.items() if rows}
        self._run.log(texts, step=table.step)

    def result(self, folder: Path) -> None:
        self._run.config.update({"result": str(folder.resolve())})

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        self._run.config.update({"summary": dict(numbers), "status": status})
        self._run.finish(state=_ENDS[status])
