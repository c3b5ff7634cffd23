"""The hooks that exporters of few bits have in common; what is their own is `method`, and the options."""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import hookimpl
from tunesmith.ranges import at_least, filled
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable
from tunesmith_library_weights.bases import base_problems, quantizer_of_full, refuse_on_the_fly

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate
    from tunesmith_library_quantizing.quantising import Settings

    from tunesmith_library_compressing.methods import Method

Data = Annotated[str | None, filled]
"""A file, a name in the registry or a hub's address; None: the run's own data."""
GroupSize = Annotated[int, at_least(-1, most=65_536)]
"""Weights of a row that share one scale: -1 for the whole row, else a multiple of 8."""
Count = Annotated[int, at_least(1, most=100_000_000)]


class FewBits:
    """An exporter that rounds the merged model; a plugin declares the options again, with its defaults."""

    name: ClassVar[str]  # of the plugin
    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    skip_modules: list[str]  # layers that keep their numbers: names, parts of dotted names, or patterns with `*`
    data: Data  # what to calibrate on
    samples: Count  # conversations to look at
    sample_length: Count  # tokens of a conversation to look at
    max_shard_size: str  # a weights file holds at most this much
    verify: bool  # whether what was written is compared with what was trained
    push_to: str | None  # repository of the hub to upload to
    private: bool  # whether nobody else may see what is uploaded

    _quantizer: str | None = None  # of the plan, that cannot be merged into where the base is in full

    @abstractmethod
    def method(self) -> Method:
        """How a model is rounded, and read."""

    @property
    def key(self) -> str:
        """Of the plugin's options, in the configuration."""
        return f"exporter.{self.name}"

    def settings(self, bits: int, group_size: int, sym: bool) -> Settings:
        """What every method needs to know."""
        from tunesmith_library_quantizing.quantising import Settings

        data = self.data or "the run's data"
        return Settings(bits, group_size, sym, self.samples, self.sample_length, self.skip_modules, self.key, data)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = [*base_problems(plan, self.name), *push_problems(plan, self.name)]
        group_size = getattr(self, "group_size", -1)
        if group_size != -1 and (group_size < 8 or group_size % 8):
            message = f"{self.key}.group_size={group_size} is no size of a group."
            problems.append(Problem(f"{self.key}.group_size", message, "32, 64 or 128; -1 for one group per row"))
        if not re.fullmatch(r"(?=.*[1-9])\d+(\.\d+)?\s*[KMGT]i?B", self.max_shard_size):
            message = f"{self.key}.max_shard_size={self.max_shard_size} is no size."
            problems.append(Problem(f"{self.key}.max_shard_size", message, "such as 500MB or 5GB"))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_compressing.estimating import estimate_few_bits

        return estimate_few_bits(self, estimate, plan)

    @property
    def stored(self) -> tuple[float, int]:
        """Bits of a rounded number, and how many share a scale in 16 bits; -1 is a row."""
        return float(getattr(self, "bits", 4)), int(getattr(self, "group_size", -1))

    @property
    def looks(self) -> bool:
        """Whether data are looked at."""
        return True

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._quantizer = quantizer_of_full(plan, self.name)

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when the base is quantised, there is nothing to calibrate on, or the result is not the
        model that was trained."""
        from tunesmith_library_compressing.steps import Wanted, export_in_few_bits

        refuse_unpushable(self.push_to, self.private)
        refuse_on_the_fly(handle.source.path, self._quantizer, self.name)
        wanted = Wanted(self.name, self.data, self.max_shard_size, self.verify)
        export_in_few_bits(handle, output_dir, self.method(), wanted)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
