"""Runs in Weights & Biases."""

from __future__ import annotations

from typing import ClassVar, Literal

from tunesmith import plugin
from tunesmith_library_tracking import Sink, Tracked


@plugin
class WandB(Tracked):
    """Keeps runs in Weights & Biases, online or in files that `wandb sync` sends later.

    The key comes from WANDB_API_KEY or `wandb login`; without one a run is kept offline.
    """

    program: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    install: ClassVar[str] = "pip install 'tunesmith-tracker-wandb[program]'"
    guarded: ClassVar[tuple[str, ...]] = ("project", "entity", "mode", "log_model")  # where what is sent

    project: str | None = None  # null is WANDB_PROJECT, else tunesmith
    entity: str | None = None  # user or team; null is WANDB_ENTITY, else the key's own
    mode: Literal["online", "offline", "disabled"] | None = None  # null is WANDB_MODE, else online
    group: str | None = None  # runs that are shown together; null is WANDB_RUN_GROUP
    job_type: str | None = None  # kind of run in its group: train, eval
    tags: list[str] = []  # by which runs are found
    notes: str | None = None  # what the run is about
    log_model: bool = False  # whether the files of the result are sent, or their folder named alone

    def sink(self) -> Sink:
        from .sink import WandBSink

        return WandBSink(self)
