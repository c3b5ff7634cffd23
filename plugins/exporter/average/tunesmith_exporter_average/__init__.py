"""Averages the checkpoints of a run, or merges what several runs trained; the result is a run's folder like any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, at_least, between, filled
from tunesmith.types import ModelHandle, Problem, Requirement
from tunesmith_library_publishing.pushing import push, push_problems, refuse_unpushable

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Average:
    """Averages weights in float64, rounded once; adapters also by peft: linear, cat, svd, TIES and DARE."""

    guarded: ClassVar[tuple[str, ...]] = ("push_to", "private")

    # other runs, whose adapters or models are taken together with this one's; none: the checkpoints of this run
    runs: list[Annotated[str, filled]] = []
    last: Annotated[int, at_least(1, most=1_000_000)] | None = None  # of its checkpoints the newest so many; null: all
    steps: list[Annotated[int, at_least(0, most=1_000_000_000)]] = []  # of its checkpoints those after so many steps
    # average: each weight's mean. Of LoRA adapters also by peft: cat and svd add up what the adapters do to a layer
    # (cat with all ranks, svd with one), linear their A and B apart; ties (arXiv 2306.01708), dare (arXiv 2311.03099)
    # and magnitude_prune keep `density` of the values, on A and B or, with _svd, on what they do
    method: Literal[
        "average",
        "linear",
        "cat",
        "svd",
        "ties",
        "ties_svd",
        "dare_linear",
        "dare_linear_svd",
        "dare_ties",
        "dare_ties_svd",
        "magnitude_prune",
        "magnitude_prune_svd",
    ] = "average"
    # of each, in their order, this run first; average divides by their sum; none: equal ones, that sum to 1, and of 1
    # for ties and dare_ties, which take a mean themselves
    weights: list[Annotated[float, between(-1_000_000, 1_000_000)]] = []
    # share of the values that ties, dare and magnitude_prune keep
    density: Annotated[float, Range(0, 1, low_excluded=True)] = 0.5
    # how ties and dare_ties elect the sign of a value: by the sum of the values, or by their number
    sign: Literal["total", "frequency"] = "total"
    rank: Annotated[int, at_least(1, most=65_536)] | None = None  # of the result of svd; null is the greatest of theirs
    verify: bool = True  # load what was written, and compare it with what was computed
    push_to: Annotated[str | None, filled] = None  # repository of the Hugging Face hub to upload to: org/name
    private: bool = True  # whether nobody else may see what is uploaded

    @hookimpl
    def requires(self) -> list[Requirement]:
        return [Requirement("hub", address, "exporter.average.runs") for address in self.runs]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = push_problems(plan, "average")
        if self.runs and (self.last or self.steps):
            message = "exporter.average.runs takes the results of runs, last and steps the checkpoints of one."
            problems.append(Problem("exporter.average.runs", message, "leave one of them out"))
        if self.last and self.steps:
            message = "exporter.average.last and exporter.average.steps both choose checkpoints."
            problems.append(Problem("exporter.average.last", message, "leave one of them out"))
        return [*problems, *self._check_weights(), *self._check_method()]

    def _check_weights(self) -> list[Problem]:
        key, chosen = "exporter.average.weights", [*self.steps, *(["this one", *self.runs] if self.runs else [])]
        if self.weights and chosen and len(self.weights) != len(chosen):
            message = f"{key} has {len(self.weights)} numbers for {len(chosen)} of which a mean is to be taken."
            return [Problem(key, message, f"one for each of {', '.join(map(str, chosen))}")]
        if self.weights and self.method == "average" and sum(self.weights) == 0:
            return [Problem(key, f"{key} sums to 0, and an average divides by that.", "positive numbers")]
        return []

    def _check_method(self) -> list[Problem]:
        if self.rank and not self.method.endswith("svd"):
            message = f"exporter.average.rank is for the methods that end in svd, and method={self.method}."
            return [Problem("exporter.average.rank", message, "exporter.average.method=svd, or leave it out")]
        return []

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_average

        members = 1 + len(self.runs) if self.runs else len(self.steps) or self.last or 0
        return estimate_average(estimate, plan, members, self.method)

    @hookimpl
    def export(self, handle: ModelHandle, output_dir: Path) -> Path:
        """Raises: TunesmithError when there is nothing to be averaged, or the parts do not fit each other."""
        from .writing import Wanted, export_average

        refuse_unpushable(self.push_to, self.private)
        wanted = Wanted(
            runs=tuple(self.runs),
            last=self.last,
            steps=tuple(self.steps),
            method=self.method,
            weights=tuple(self.weights),
            density=self.density,
            sign=self.sign,
            rank=self.rank,
            verify=self.verify,
        )
        export_average(handle, output_dir, wanted)
        if self.push_to:
            push(output_dir, self.push_to, self.private)
        return output_dir
