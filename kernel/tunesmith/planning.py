"""The plan of a run: which plugins are selected, with which options, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tunesmith.catalog import Catalog, Entry
from tunesmith.keys import Key, Origin, Origins, nearest_origin
from tunesmith.ranges import between, filled, path_like
from tunesmith.traits import traits_of
from tunesmith.types import Problem
from tunesmith_library_configuration.launchers import launched
from tunesmith_library_configuration.problems import problem_of as problem_of
from tunesmith_library_configuration.problems import refuse as refuse
from tunesmith_library_configuration.problems import report as report


@dataclass(kw_only=True)
class RunOptions:
    """The options at the top level of a configuration, beside the kinds."""

    guarded: ClassVar[tuple[str, ...]] = ("overwrite",)
    guarded_outside: ClassVar[tuple[str, ...]] = ("output_dir",)
    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("output", "out", "output_path", "save_dir"), "output_dir"),
        **{"dtype": "precision", "torch_dtype": "precision", "bf16": "precision=bf16", "fp16": "precision=fp16"},
    }

    # folder of the run; null chooses runs/NAME, NAME being the configuration's file name
    output_dir: Annotated[str | None, path_like] = None
    seed: Annotated[int, between(0, 2**32 - 1)] = 42  # of everything random
    # numbers to compute in; auto is bf16 where the hardware computes in it (a CPU: and is faster so), else fp32
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    resume: bool = False  # continue the run in output_dir from its newest checkpoint
    overwrite: bool = False  # delete a run that is already in output_dir
    default_hub: Annotated[str, filled] = "huggingface"  # hub of an address without scheme, such as org/name


@dataclass(frozen=True)
class Selected:
    """One plugin of a plan."""

    entry: Entry
    instance: Any  # None when it is not installed, or its options are wrong
    draft: Any = None  # of one whose options are wrong: with defaults in their place, to be asked what else is wrong


@dataclass(frozen=True)
class Plan:
    """What would happen. `check(plan)` hooks ask it; `tunesmith plan` prints it."""

    command: str  # train, chat, export, eval, load, show, encode
    run: RunOptions
    selected: tuple[Selected, ...]
    config: Mapping[str, Any]  # resolved: run options, and per kind the name and all options
    origins: Origins = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    catalog: Catalog | None = field(default=None, compare=False, repr=False)  # what is installed
    resumed: Path | None = None  # the newest checkpoint, of a run that goes on

    def names(self, kind: str) -> list[str]:
        """The selected names of a kind."""
        return [item.entry.name for item in self.selected if item.entry.kind == kind]

    def name(self, kind: str) -> str | None:
        """The selected name of a kind, None when there is none."""
        return next(iter(self.names(kind)), None)

    def uses(self, kind: str, name: str | None = None) -> bool:
        """Whether a plugin is selected, or any plugin of a kind."""
        return bool(self.names(kind)) if name is None else name in self.names(kind)

    def plugin(self, kind: str, name: str | None = None) -> Any:
        """The instance of a selected plugin, None when there is none."""
        found = (i.instance for i in self.selected if i.entry.kind == kind and name in (None, i.entry.name))
        return next(found, None)

    @property
    def processes(self) -> int | None:
        """How many processes train; None where only the launcher will know. Those that it starts ask again."""
        if launched() is not None or not self.uses("parallel"):
            return launched() or 1
        return getattr(self.traits("parallel"), "processes", None)

    def traits(self, kind: str, name: str | None = None) -> Any:
        """What a selected plugin says of itself (`tunesmith.traits`), the least when it says nothing.

        None when there is no such plugin, or nothing is known of it because it is missing or wrong.
        """
        plugin = self.plugin(kind, name)
        return None if plugin is None else traits_of(kind, plugin)

    def installed(self, kind: str) -> dict[str, type]:
        """The classes of all installed plugins of a kind by name, imported: for an error that says what would suit.
        Those that cannot be imported are left out."""
        return self.catalog.classes(kind) if self.catalog else {}

    def get(self, key: str, default: Any = None) -> Any:
        """A resolved value: `trainer.max_steps`, `quantizer.name`; `default` when nothing selected has it."""
        node: Any = self.config
        for part in Key.parse(key):
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return default
        return node

    def origin(self, key: Key) -> Origin | None:
        """Where a value was written, or the nearest value that contains it; None for a default."""
        return nearest_origin(key, self.origins)


def untrainable(plan: Plan) -> list[Problem]:
    """The problem of training over weights that pass no gradient; [] where adapters learn."""
    can = plan.traits("quantizer")
    if can is None or can.trains:
        return []
    message = f"nothing can be trained over the weights of quantizer={plan.name('quantizer')}, which pass no gradient."
    return [Problem("quantizer.name", message, "another quantizer, or quantizer=null; it may serve what was trained")]
