"""The options of plugins whose processes may share long sequences, and what follows from them; free of torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl
from tunesmith.planning import Plan
from tunesmith.ranges import at_least
from tunesmith.types import Problem
from tunesmith_library_training import processes

from tunesmith_library_sequence.refusing import refusal

if TYPE_CHECKING:
    from tunesmith_library_estimates.estimation import Estimate

_OURS = ("auto", "per_sequence")  # values of model.attention


@dataclass(eq=False, kw_only=True)
class SequenceParallel:
    """Long sequences shared among processes; for plugins of the kind `parallel`."""

    # how neighbouring processes share each batch's tokens: ulysses exchanges heads, ring passes keys around; null: not
    sequence: Literal["ulysses", "ring"] | None = None
    # processes that share a batch, of which each has about as many tokens; null is all
    sequence_size: Annotated[int | None, at_least(2, most=4_096)] = None

    _on_cpu: bool = field(default=False, init=False, repr=False)  # train on the CPU although there is a GPU

    @hookimpl
    def configured(self, plan: Plan) -> None:
        following = getattr(super(), "configured", None)
        if following is not None:
            following(plan)
        self._on_cpu = bool(plan.get("trainer.use_cpu", False))

    def sharing(self, total: int | None) -> int:
        """How many processes share a batch, of `total`; for `ParallelTraits.alike`."""
        return 1 if self.sequence is None else self.sequence_size or total or 1

    def sequence_problems(self, plan: Plan) -> list[Problem]:
        """Why sequences cannot be shared as asked, before anything is loaded."""
        if self.sequence is None:
            if self.sequence_size is None:
                return []
            message = f"sequence_size={self.sequence_size} has no effect without parallel.sequence."
            return [Problem("parallel.sequence_size", message, "parallel.sequence=ulysses, or ring", "warning")]
        size = self.sequence_size or plan.processes
        return [*self._of_processes(plan), *_of_stage(plan), *_of_attention(plan), *self._of_model(plan, size)]

    def estimate_sequences(self, estimate: Estimate, total: int) -> Estimate:
        """The estimate of one of the processes that share a batch; for the hook `estimate`.

        Args:
            total: processes of the run.
        """
        from tunesmith_library_sequence.estimating import estimate_sharing

        return estimate_sharing(estimate, self.sequence, self.sharing(total)) if self.sequence else estimate

    def share_sequences(self, model: Any) -> None:
        """Have the batches of a model divided over the processes that share them; for the hook `place`, called before
        weights are spread.

        Args:
            model: on its way to the trainer, with its adapter.

        Raises: TunesmithError where its sequences cannot be shared.
        """
        if self.sequence is not None:
            from tunesmith_library_sequence.sharing import share

            processes.join(self._on_cpu)
            share(model, self.sequence, self.sequence_size or processes.count())

    def _of_processes(self, plan: Plan) -> list[Problem]:
        total, size = plan.processes, self.sequence_size
        if plan.get("parallel.tensor", 1) > 1:
            message = "Processes share the layers of a model or its sequences, not both."
            return [Problem("parallel.sequence", message, "leave parallel.tensor or parallel.sequence out")]
        if total == 1:
            message = f"sequence={self.sequence}, and there is one process."
            return [Problem("parallel.sequence", message, "parallel.processes=2, or leave parallel.sequence out")]
        if total is None or size is None or total % size == 0:
            return []
        fitting = ", ".join(str(number) for number in range(2, total + 1) if total % number == 0)
        message = f"{total} processes cannot be divided into groups of {size} that share a sequence."
        return [Problem("parallel.sequence_size", message, f"possible: {fitting}")]

    def _of_model(self, plan: Plan, size: int | None) -> list[Problem]:
        """What its config.json tells, where it is at hand; the loaded model is asked again."""
        found = refusal(_config_of(plan.get("model.path")), self.sequence or "", size)
        return [Problem("parallel.sequence", *found)] if found else []


def _of_stage(plan: Plan) -> list[Problem]:
    stage = plan.traits("stage")
    if stage is None:
        return []
    if stage.generates:
        message = f"stage={plan.name('stage')} learns from answers that it gives, which are not divided."
        return [Problem("parallel.sequence", message, "leave parallel.sequence out")]
    if stage.scores:
        message = f"stage={plan.name('stage')} scores the last token of each text, which one process alone has."
        return [Problem("parallel.sequence", message, "leave parallel.sequence out")]
    return []


def _of_attention(plan: Plan) -> list[Problem]:
    chosen, model = plan.get("model.attention"), plan.traits("model")
    if model is not None and not model.attention_interface:
        message = f"model={plan.name('model')} computes attention in a way of its own, which cannot be divided."
        return [Problem("parallel.sequence", message, "model=transformers, or leave parallel.sequence out")]
    if chosen is None or chosen in _OURS:
        return []
    return [Problem("model.attention", f"{chosen} cannot see the tokens of other processes.", "model.attention=auto")]


def _config_of(address: Any) -> dict[str, Any]:
    """A model's config.json; empty where it is not at hand, as for an address on a hub."""
    try:
        config = json.loads((Path(str(address)).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
