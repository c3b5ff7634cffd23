"""DeepSpeed's ZeRO: the processes of a run share optimizer states, gradients and weights."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.ranges import at_least, path_like
from tunesmith.traits import ParallelTraits
from tunesmith.types import ModelSource, Problem, TrainingJob
from tunesmith_library_launching.options import Processes

from .settings import Device, configuration

if TYPE_CHECKING:
    from tunesmith_library_estimates.estimation import Estimate

Count = Annotated[int | None, at_least(1, most=1_000_000_000_000)]


@plugin
class Deepspeed(Processes):
    """Processes that train a share of every batch, and share what one would hold alone (ZeRO; Rajbhandari et al. 2020,
    arXiv 1910.02054): from stage 1 on the optimizer's states, from 2 on gradients, with 3 the weights.

    Options keep DeepSpeed's names; null leaves one to `config`, and what that does not say to what fits the model.
    """

    # what is shared: 0 nothing, 1 optimizer states, 2 gradients too, 3 weights too; null is that of config, else 2
    stage: Literal[0, 1, 2, 3] | None = None
    # a DeepSpeed configuration (JSON); its `auto` values are filled from the trainer's options
    config: Annotated[str | None, path_like] = None

    offload_optimizer: Device | None = None  # where optimizer states are, from stage 1 on; null is none: the device
    offload_param: Device | None = None  # where weights are, with stage 3; null is none: the device
    nvme_path: Annotated[str | None, path_like] = None  # folder for what is offloaded to nvme, on each machine

    overlap_comm: bool | None = None  # reduce gradients while others are computed; null is true with stage 3
    contiguous_gradients: bool | None = None  # copy gradients to one buffer as they come; null is true
    reduce_bucket_size: Count = None  # elements that are reduced at once; null is the model's width, squared
    allgather_bucket_size: Count = None  # elements that are gathered at once, below stage 3; null is 500,000,000
    # stage 3: elements that are gathered ahead; null is 0.9 times the model's width, squared
    stage3_prefetch_bucket_size: Count = None
    # stage 3: weights of fewer elements stay whole in each process; null is 10 times the model's width
    stage3_param_persistence_threshold: Annotated[int | None, at_least(0, most=1_000_000_000_000)] = None
    stage3_max_live_parameters: Count = None  # stage 3: elements that are whole at a time; null is 1,000,000,000
    stage3_max_reuse_distance: Count = None  # stage 3: elements used meanwhile for a weight to be kept; null is 1e9
    sub_group_size: Count = None  # stage 3: elements that the optimizer takes at once; null is 1,000,000,000
    # stage 3: processes that have all weights among them for the backward pass, such as a machine's; null is 1: none
    zero_hpz_partition_size: Annotated[int | None, at_least(1, most=65_536)] = None

    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("zero_stage", "ds_stage"), "stage"),
        **dict.fromkeys(
            ("deepspeed", "ds_config", "deepspeed_config", "deepspeed_config_file", "config_file"), "config"
        ),
        **{"offload_optimizer_device": "offload_optimizer", "offload_param_device": "offload_param"},
        **dict.fromkeys(("offload_optimizer_nvme_path", "offload_param_nvme_path"), "nvme_path"),
    }

    _use_cpu: bool = False  # train on the CPU although there is a GPU
    _held: list[Any] = field(default_factory=list)  # what lets weights be spread as they are loaded, while it lives

    @property
    def traits(self) -> ParallelTraits:
        made = {"deepspeed": configuration(self)}  # which cuts optimizer states in pieces, with stage 3 weights too
        return ParallelTraits(processes=self.total, spreads="deepspeed", arguments=made)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checks import problems

        return [*self.process_problems(plan), *problems(self, plan)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_zero

        return estimate_zero(self, estimate)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        super().configured(plan)
        self._use_cpu = bool(plan.get("trainer.use_cpu"))

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        return self.start(command)

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        """With stage 3 weights are spread as they are loaded, so that no process ever has all."""
        if source.training:  # a reference comes after the model that is trained, and is spread like it
            from .placing import spread_while_loading

            spread_while_loading(self, source.precision)
        return (yield)

    @hookimpl
    def place(self, model: Any, job: TrainingJob) -> Any:
        from .placing import place

        return place(self, model, job.precision)
