"""What Weights & Biases is told; `train/global_step` is the axis of all curves, as with transformers' integration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.messages import is_quiet, logger
from tunesmith_library_tracking import artefacts
from tunesmith_library_tracking.evaluations import columns
from tunesmith_library_tracking.sink import Start, Status, Table

if TYPE_CHECKING:
    from tunesmith_tracker_wandb import WandB

_STEP = "train/global_step"
_SECONDS = 30.0  # to wait for the server at the start


class WandBSink:
    """A run of Weights & Biases. Its own metrics of the system and its copies of console and command are off."""

    def __init__(self, options: WandB) -> None:
        self._options = options
        self._run: Any = None

    def begin(self, start: Start) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers
        import wandb

        options = self._options
        settings = wandb.Settings(
            console="off",
            silent=is_quiet(),
            init_timeout=_SECONDS,
            x_disable_stats=True,
            x_disable_meta=True,  # it has the command line, and with it passwords in addresses
            save_code=False,
        )
        self._run = wandb.init(
            project=options.project or os.environ.get("WANDB_PROJECT") or "tunesmith",
            entity=options.entity,
            name=start.name,
            group=options.group,
            job_type=options.job_type,
            tags=options.tags or None,
            notes=options.notes,
            mode=self._mode(wandb),
            dir=str(start.output_dir),
            config=dict(start.config),
            id=start.known_as,
            resume="allow" if start.known_as else None,
            allow_val_change=True,
            reinit="create_new",
            settings=settings,
        )
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)
        return str(self._run.id)

    def _mode(self, wandb: Any) -> Any:
        mode = self._options.mode or os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not _has_key(wandb.setup().settings.base_url):
            logger.warning(
                "tracker.wandb: there is no key, and the run is kept offline; "
                "export WANDB_API_KEY=..., or send it later: wandb sync RUN/wandb/offline-run-*"
            )
            return "offline"
        return mode

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        self._run.log({**numbers, _STEP: step, "_timestamp": time})

    def table(self, table: Table) -> None:
        import wandb

        for name, rows in (("numbers", table.numbers), ("examples", table.examples)):
            if rows:
                names: list[Any] = columns(rows)
                made = wandb.Table(columns=names, data=[[row.get(column) for column in names] for row in rows])
                self._run.log({f"eval/{table.name}/{name}": made, _STEP: table.step})

    def result(self, folder: Path) -> None:
        import wandb

        self._run.summary["result"] = str(folder.resolve())
        if self._options.log_model:
            artefact = wandb.Artifact(f"model-{self._run.id}", type="model", metadata={"folder": str(folder.resolve())})
            for file in artefacts.files(folder):
                artefact.add_file(str(file), name=file.name)
            self._run.log_artifact(artefact)

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        self._run.summary.update({**numbers, "status": status})
        self._run.finish(exit_code=0 if status == "finished" else 1)


def _has_key(server: str) -> bool:
    """Whether there is a key, without which the program would ask for one, in the midst of a run."""
    from requests.utils import get_netrc_auth

    named = any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"))
    return named or get_netrc_auth(server) is not None  # `wandb login` writes it to ~/.netrc
