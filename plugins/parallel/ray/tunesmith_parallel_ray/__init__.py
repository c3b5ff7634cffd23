"""Ray: the processes of a run, on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.ranges import above, at_least, between, filled
from tunesmith.traits import ParallelTraits, traits_of
from tunesmith.types import ModelSource, Problem, TrainingJob
from tunesmith_library_launching.reports import begin

from .spreading import sharding_problems, spreader

if TYPE_CHECKING:
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Ray:
    """Processes on the machines of a Ray cluster (Moritz et al. 2018, arXiv 1712.05889), each with a share of a batch.

    Each process is the command line of the run again, started by an actor in a place that Ray reserved. Of these places
    all are taken at once, or none.
    """

    guarded: ClassVar[tuple[str, ...]] = ("address", "runtime_env", "environment")  # where it runs, and what it gets
    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("num_workers", "ray_num_workers", "workers"), "processes"),
        **{"resources_per_worker": "resources", "placement_strategy": "placement", "max_failures": "restarts"},
    }

    # on all machines; null is one for each GPU of the cluster
    processes: Annotated[int | None, at_least(1, most=65_536)] = None
    # take as few as these where the cluster has no room for all: a divisor of processes, which then accumulate more
    min_processes: Annotated[int | None, at_least(1, most=65_536)] = None
    restarts: Annotated[int, at_least(0, most=1_000)] = 0  # how often a failed run goes on from its newest checkpoint
    # seconds without any progress after which processes hang
    timeout: Annotated[float, between(10, 604_800)] = 1_800.0
    # HOST:PORT of a cluster, or auto; null is that of RAY_ADDRESS, else one of its own on this machine
    address: Annotated[str | None, filled] = None
    # on few machines, or spread over many; strict ones on one alone, or each on another
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    # what each process reserves, {CPU: 8, GPU: 1}; empty is a GPU where the cluster has any, and a CPU
    resources: dict[str, Annotated[float, above(0, most=1_000_000)]] = {}
    wait: Annotated[float, at_least(0, most=1_000_000)] = 600.0  # seconds until the cluster has room, at most
    # Ray's environment of the processes: pip, working_dir, env_vars …
    runtime_env: dict[str, Any] = {}
    # variables of this process that those on a cluster get too, beside those of torch and NCCL: [HF_TOKEN]
    environment: list[Annotated[str, filled]] = []
    # an installed parallel plugin that spreads the model over the processes, such as fsdp; null copies it to each
    sharding: Annotated[str | None, filled] = None
    sharding_options: dict[str, Any] = {}  # of that plugin

    _folder: Path | None = None  # of the run
    _uses_cpu: bool = False  # though there may be GPUs
    _placer: Any = None  # the plugin that spreads the model

    @property
    def traits(self) -> ParallelTraits:
        found: ParallelTraits = traits_of("parallel", self._spreader())
        return replace(found, processes=self.processes)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import problems_of

        spread = self._spreader()
        found = problems_of(self, plan) + sharding_problems(self.sharding, self._options_of_spreader())
        return found + (spread.check(plan) if hasattr(spread, "check") else [])

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_workers

        return estimate_workers(self, self._spreader(), estimate, plan)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        begin()
        self._folder = Path(plan.run.output_dir).expanduser().absolute() if plan.run.output_dir else None
        self._uses_cpu = bool(plan.get("trainer.use_cpu"))
        spread = self._spreader()
        if hasattr(spread, "configured"):
            spread.configured(plan=plan)

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        from .launching import launch

        return launch(command, self, self._folder, self._uses_cpu)

    def spread(
        self,
        tasks: Sequence[Mapping[str, Any]],
        make: Callable[[], Callable[[Mapping[str, Any]], Mapping[str, Any]]],
    ) -> Iterator[Mapping[str, Any]]:
        """Have tasks done all over the cluster, see `mapping.mapped`: what `tunesmith data encode` asks for."""
        from .mapping import mapped

        return mapped(self, tasks, make)

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        """As the plugin that spreads the model has it loaded."""
        load = getattr(self._spreader(), "load_model", None)
        return (yield) if load is None else (yield from load(source=source))

    @hookimpl
    def place(self, model: Any, job: TrainingJob) -> Any:
        spread = self._spreader()
        return spread.place(model=model, job=job) if spread is not None else None

    def _spreader(self) -> Any:
        if self.sharding is not None and self._placer is None:
            self._placer = spreader(self.sharding, self._options_of_spreader())
        return self._placer

    def _options_of_spreader(self) -> dict[str, Any]:
        counted = {"processes": self.processes} if self.sharding and self.processes else {}
        return {**counted, **self.sharding_options}
