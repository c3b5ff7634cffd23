"""Adapters that a run begins from: which there are, what is wrong with them, and those that are merged into the base.

Free of torch and peft but where adapters are loaded, for a plan is checked with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import announce
from tunesmith.addresses import is_path
from tunesmith.types import ModelSource, Problem
from tunesmith_library_weights.plans import unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@dataclass(frozen=True)
class Following:
    """The options `path` and `restart` of an adapter plugin."""

    path: Sequence[str] | str | None
    restart: bool

    @property
    def paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else list(self.path or [])

    @property
    def merged(self) -> list[str]:
        """The adapters that become part of the base, for training and ever after."""
        return self.paths if self.restart else self.paths[:-1]

    @property
    def followed(self) -> str | None:
        """The one that is trained on."""
        return None if self.restart or not self.paths else self.paths[-1]

    def problems(self, plan: Plan) -> list[Problem]:
        """What is wrong with the adapters that a command reads."""
        problems = []
        for path in self.paths if plan.command == "train" else self.merged:
            if is_path(path) and not (Path(path).expanduser() / "adapter_config.json").is_file():
                message = f"adapter.path={path} holds no adapter (no adapter_config.json)."
                problems.append(Problem("adapter.path", message, "the folder of a run that trained an adapter"))
        if self.restart and not self.paths:
            message = "adapter.restart=true merges the adapters of adapter.path, and there is none."
            problems.append(Problem("adapter.restart", message, "adapter.path=RUN, or adapter.restart=false"))
        if self.merged:
            message = "adapters cannot be merged into the weights that quantizer={quantizer} rounds."
            problems += unmergeable(plan, "adapter.path", message, "quantizer=null, or one adapter to go on with")
        return problems

    def merge_earlier(
        self, model: Any, source: ModelSource, kind: tuple[str, str], load: Callable[[Any, Path, ModelSource], Any]
    ) -> Any:
        """The model with the earlier adapters merged into it, in their order.

        Args:
            kind: peft's name of the only kind that will do, and the same for people.
            load: puts an adapter's folder beside the model's layers.

        Raises: TunesmithError when a folder holds no adapter of this kind, or it cannot be merged.
        """
        from tunesmith_library_adapting.adapters import read_config
        from tunesmith_library_adapting.merging import merge

        for address in self.merged:
            folder = fetched(address, source)
            read_config(folder, *kind)
            model = merge(load(model, folder, replace(source, training=True)))
            announce("adapter", f"{address} is merged into the base", "adapter.path")
        return model


def fetched(address: str, source: ModelSource) -> Path:
    """A folder at hand, or what the hub of the address gives."""
    return source.fetch(address) if source.fetch else Path(address).expanduser()
