"""A translation of one of LLaMA-Factory's configurations while it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith.keys import Origin
from tunesmith_library_configuration import drafting

_OF_PPO = (
    *("learning_rate", "weight_decay", "max_grad_norm", "logging_steps", "save_steps", "eval_steps"),
    *("save_total_limit", "use_cpu", "lr_scheduler_type"),
)
"""Options of the trainer that stage=ppo has itself."""


class Draft(drafting.Draft):
    """Our configuration, filled key by key.

    Args:
        command: what it is a configuration of.
    """

    def __init__(self, command: str, written: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__(written, defaults)
        self.command = command
        self.places: dict[str, Origin] = {}  # of keys of ours that came from a file which the configuration names

    @property
    def objective(self) -> str:
        """The stage, by the name of ours."""
        stage, loss = str(self.get("stage")), str(self.get("pref_loss"))
        if stage == "dpo" and loss in ("orpo", "simpo"):
            return loss
        return {"pt": "pretrain", "rm": "reward"}.get(stage, stage)

    def put(self, ours: str, value: Any, theirs: str) -> None:
        kind, _, option = ours.partition(".")
        if kind == "trainer" and option in _OF_PPO and self.objective == "ppo":
            ours = f"stage.{option}"
        super().put(ours, value, theirs)

    def forget(self, ours: str) -> None:
        """Take back a key of the top level."""
        self.config.pop(ours, None)
        self.sources.pop(ours, None)


def listed(value: Any) -> list[Any]:
    """A list, also of what is written with commas."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
