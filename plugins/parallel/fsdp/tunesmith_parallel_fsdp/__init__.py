"""Fully sharded data parallel: each process of a run has a part of every weight."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.ranges import at_least
from tunesmith.traits import ParallelTraits
from tunesmith.types import ModelSource, Problem, TrainingJob
from tunesmith_library_launching.options import Processes
from tunesmith_library_sequence.options import SequenceParallel

if TYPE_CHECKING:
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Fsdp(SequenceParallel, Processes):
    """Processes that each keep a part of the model, of its gradients and of the optimizer's state, and train a share of
    every batch (FSDP2; Zhao et al. 2023, arXiv 2304.11277).

    A layer's weights come together when it is computed, and are let go after. On several machines the same command is
    given on each, with its own `node_rank`.
    """

    # classes of modules whose weights come together on their own; empty: the layers of the language model
    wrap: list[str] = []
    # weights from which on a module comes together on its own, in place of `wrap`; 0 leaves it to `wrap`
    min_num_params: Annotated[int, at_least(0, most=1_000_000_000_000)] = 0
    # let go of a layer's weights after its forward pass, and gather them again in the backward pass; false takes the
    # memory of all layers, and a third less is sent
    reshard_after_forward: bool = True
    # keep weights, gradients and the optimizer's state in the host's memory, and step there
    cpu_offload: bool = False
    # numbers in which weights are sent and computed with; auto: those of the run's precision, while the trained weights
    # stay float32; float32 sends them as they are, and autocast rounds them in each layer
    param_dtype: Literal["auto", "float32"] = "auto"
    # whole copies of the model: processes are divided into so many groups that each have one (HSDP); where each machine
    # is such a group, weights are sent within machines alone
    replicas: Annotated[int, at_least(1, most=65_536)] = 1
    # neighbouring processes that compute each layer together, by transformers' tensor-parallel plan of the model; they
    # see the same examples
    tensor: Annotated[int, at_least(1, most=1_024)] = 1
    # neighbouring processes that have a mixture's experts among them, by transformers' expert-parallel plan: tokens are
    # sent to the process of their expert
    experts: Annotated[int, at_least(1, most=65_536)] = 1
    # whole: the files of a run of one process, gathered to the first; sharded: each process writes its part, by
    # torch.distributed.checkpoint, as safetensors. Either resumes under any number of processes
    checkpoints: Literal["whole", "sharded"] = "whole"
    background: bool = False  # write checkpoints while training goes on, from a copy in the host's memory

    known_as: ClassVar[dict[str, str]] = {
        **{"fsdp_transformer_layer_cls_to_wrap": "wrap", "transformer_layer_cls_to_wrap": "wrap"},
        **{"fsdp_min_num_params": "min_num_params", "fsdp_reshard_after_forward": "reshard_after_forward"},
        **{"fsdp_offload_params": "cpu_offload", "offload_params": "cpu_offload", "num_replicate": "replicas"},
    }

    _use_cpu: bool = False  # train on the CPU although there is a GPU

    @property
    def traits(self) -> ParallelTraits:
        return ParallelTraits(processes=self.total, spreads="fsdp", alike=self.tensor * self.sharing(self.total))

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checks import problems

        return [*self.process_problems(plan), *self.sequence_problems(plan), *problems(self, plan)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_parts

        return estimate_parts(self, estimate)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        super().configured(plan)
        self._use_cpu = bool(plan.get("trainer.use_cpu", False))

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        return self.start(command)

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource) -> Generator[None, Any, Any]:
        """Raises: TunesmithError when the layers or experts of a model cannot be divided as asked, from its config."""
        if source.training and max(self.tensor, self.experts) > 1:
            from .plans import refuse_before_loading

            refuse_before_loading(self, source.path)
        return (yield)

    @hookimpl
    def place(self, model: Any, job: TrainingJob) -> Any:
        """Raises: TunesmithError when the processes cannot be divided as asked, or `wrap` names no module."""
        from .spreading import place

        return place(self, model, job.precision)
