"""Stages that compare the model with a reference: their options, and how it is found before training begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import announce, hookimpl
from tunesmith.ranges import path_like
from tunesmith.types import Batch, LoadModel, Problem, Requirement, TrainingJob
from tunesmith_library_weights.folders import fetched, reference_problems

from tunesmith_library_training.answers import LogProbStage
from tunesmith_library_training.reference import Reference, use_numbers_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

Columns = dict[str, Any]
"""Name of a column, such as `chosen_reference_log_prob`: one log-probability per example, (P,) fp32."""


@dataclass(frozen=True)
class Settings:
    """What of the plan the reference depends on."""

    model: str | None = None  # address of the trained model
    adapter: str | None = None  # folder of the adapter whose training goes on
    batch_size: int = 8
    padding_free: bool = True
    use_cpu: bool = False


@dataclass(kw_only=True, eq=False)
class ReferenceStage(LogProbStage):
    """A stage whose loss compares the answers' log-probabilities with a reference's.

    The reference is loaded, or asked once for all, before training begins.
    """

    # model to compare with, on a hub or a folder; null is the model as it is before training
    reference: Annotated[str | None, path_like] = None
    reference_adapter: Annotated[str | None, path_like] = None  # folder of the adapter that the reference model has
    # compute the reference's log-probabilities once before training, not in every step; frees its memory
    precompute_reference: bool = False

    beside_encoding: ClassVar[tuple[str, ...]] = ("reference", "reference_adapter", "precompute_reference")
    _reference: Reference = field(default=Reference(None), init=False, repr=False)
    _settings: Settings = field(default=Settings(), init=False, repr=False)

    @hookimpl
    def requires(self) -> list[Requirement]:
        return fetched({"stage.reference": self.reference, "stage.reference_adapter": self.reference_adapter})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return super().check(plan) + reference_problems(self.reference, self.reference_adapter, "stage")

    @hookimpl
    def configured(self, plan: Plan) -> None:
        super().configured(plan)
        asked = plan.get("trainer.per_device_eval_batch_size")
        self._settings = Settings(
            model=plan.get("model.path"),
            adapter=plan.get("adapter.path"),
            batch_size=asked if isinstance(asked, int) else 8,
            padding_free=plan.get("trainer.padding_free", True),
            use_cpu=plan.get("trainer.use_cpu", False),
        )

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_training.reference_costs import ReferenceCosts, offers

        once = self.precompute_reference
        costs = ReferenceCosts(self.reference, self.reference_adapter, once, self.reference_passes)
        made = costs.add(super().estimate(estimate, plan), plan)
        return made.offering(*offers(made, "stage.precompute_reference"))

    @property
    def reference_passes(self) -> float:
        """Forward passes of the reference for each one that is trained."""
        return 1.0

    def reference_log_probs(self, model: Any, batch: Batch) -> Columns:
        """The log-probabilities that a reference model gives the answers of a batch; without gradients."""
        raise NotImplementedError

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> TrainingJob | None:
        from tunesmith_library_weights.switching import begins_as_base

        settings = self._settings
        model = None
        if self.reference is not None or self.reference_adapter is not None:
            model = load(self.reference or settings.model, adapter=self.reference_adapter)
        elif not self.precompute_reference and not begins_as_base(job.model):
            announce("reference", "a second model", "the model as it is before training")
            model = load(settings.model, adapter=settings.adapter)
        if model is not None:
            use_numbers_of(job.model, model)
            if settings.use_cpu and model.device.type != "cpu":  # it was loaded where there is an accelerator
                model.to("cpu")
        if self.precompute_reference:
            from tunesmith_library_training.precompute import with_reference_columns

            return with_reference_columns(
                job,
                model,
                self.reference_log_probs,
                batch_size=settings.batch_size,
                padding_free=settings.padding_free,
                use_cpu=settings.use_cpu,
            )
        self._reference = Reference(model)
        return None

    def reference_columns(self, model: Any, batch: Batch) -> Columns:
        """What the reference says of a batch."""
        with self._reference.instead_of(model) as reference:
            return self.reference_log_probs(reference, batch)


def collate_columns(examples: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Columns]:
    """The `reference` of a batch: columns that were computed before training; nothing when there are none."""
    import torch

    if names[0] not in examples[0]:
        return {}
    return {"reference": {name: torch.tensor([float(example[name]) for example in examples]) for name in names}}
