"""Direct preference optimisation: learn from pairs of answers, with the model as it was for a reference.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
(arXiv 2305.18290); the losses that followed it are in `losses`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, at_least, between
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LoadModel, LossOutput, Problem, TrainingJob
from tunesmith_library_training.answers import collate_answers, weighed
from tunesmith_library_training.metrics import PAIR_METRICS, Directions
from tunesmith_library_training.pairs import PREFIXES, PairStage, pair_metrics
from tunesmith_library_training.reference_stage import Columns, ReferenceStage, collate_columns

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_COLUMNS = tuple(f"{prefix}reference_log_prob" for prefix in PREFIXES)


@plugin
class DirectPreference(ReferenceStage, PairStage):
    """Make preferred answers likelier and others less likely than they were (rows with `chosen` and `rejected`)."""

    # sigmoid is DPO; hinge SLiC; robust and exo_pair expect wrong labels; the others are named after their papers
    loss: Literal[
        "sigmoid",
        "hinge",
        "ipo",
        "robust",
        "kto_pair",
        "bco_pair",
        "apo_zero",
        "apo_down",
        "exo_pair",
        "nca_pair",
        "sppo_hard",
    ] = "sigmoid"
    # strength of the tie to the reference; smaller lets the model go further
    beta: Annotated[float, above(0, most=1_000_000)] = 0.1
    # probability that a pair is labelled the wrong way round (sigmoid, robust, exo_pair)
    label_smoothing: Annotated[float, Range(0, 0.5, high_excluded=True)] = 0.0
    # weight of the chosen answers' own loss per token beside it (RPO, arXiv 2404.19733)
    rpo_alpha: Annotated[float, at_least(0, most=1_000_000)] = 0.0
    # weight w of a classifier of single answers beside the loss of pairs, (loss + w · BCO) / (1 + w): BCO with the mean
    # reward of the run so far for its shift (arXiv 2404.04656), as in mixed preference optimisation (arXiv 2411.10442)
    bco_weight: Annotated[float, at_least(0, most=1_000_000)] = 0.0
    # weight of the tokens by which an answer is longer than the other (LD-DPO, arXiv 2409.06411); 1 is plain DPO
    ld_alpha: Annotated[float, between(0, 1)] = 1.0

    NAME: ClassVar[str] = "dpo"

    changeable: ClassVar[tuple[str, ...]] = (
        "beta",
        "label_smoothing",
        "rpo_alpha",
        "bco_weight",
        "ld_alpha",
    )
    beside_encoding: ClassVar[tuple[str, ...]] = ("loss", *changeable)
    _rewards: Any = None  # moments of those of the run so far, for BCO's shift

    @property
    def traits(self) -> StageTraits:  # type: ignore[override]
        parts = {"nll_loss": self.rpo_alpha, "bco_loss": self.bco_weight}
        own: Directions = {name: False for name, weight in parts.items() if weight}
        additive = self.loss != "kto_pair" and not self.bco_weight  # which look at the mean of a batch, and of the run
        return replace(PairStage.traits, reference=True, additive=additive, metrics={**PAIR_METRICS, **own})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = super().check(plan)
        if self.loss == "exo_pair" and not self.label_smoothing:
            message = "stage.loss=exo_pair is infinite without label smoothing."
            problems.append(Problem("stage.label_smoothing", message, "stage.label_smoothing=0.001"))
        if self.label_smoothing and self.loss not in ("sigmoid", "robust", "exo_pair"):
            message = f"stage.label_smoothing has no effect with stage.loss={self.loss}."
            problems.append(Problem("stage.label_smoothing", message, "stage.loss=robust", "warning"))
        return problems

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        weights = None
        if self.ld_alpha != 1:
            from tunesmith_stage_dpo.lengths import shared_length_weights

            weights = shared_length_weights(examples, self.ld_alpha)
        batch = collate_answers(examples, PREFIXES, padding_free, weights, processor)
        return {**batch, **collate_columns(examples, _COLUMNS)}

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        import torch
        from tunesmith_library_training.by_dataset import losses_by_dataset
        from tunesmith_library_training.log_probs import sequence_log_probs

        from tunesmith_stage_dpo.losses import LOSSES, Ratios

        batch = dict(batch)
        known = batch.pop("reference", None)  # computed before training
        reference = torch.cat(list((known or self.reference_columns(model, batch)).values()))
        policy = sequence_log_probs(model, batch, self.loss_chunk_size)
        ratios = policy.weighted - reference
        (chosen, rejected), counts = ratios.chunk(2), policy.counts.chunk(2)
        pairs = Ratios(chosen, rejected, counts[0], counts[1], self.beta, self.label_smoothing)
        losses = LOSSES[self.loss](pairs)
        metrics = pair_metrics(self.beta * ratios, policy.weighted, batch)
        if self.bco_weight:
            classified = self._classified(ratios / policy.counts if self.loss == "ipo" else ratios, batch)
            losses = (losses + self.bco_weight * classified) / (1 + self.bco_weight)
            metrics["bco_loss"] = weighed(classified.detach(), batch).sum()
        if self.rpo_alpha:
            own = -policy.means.chunk(2)[0]
            losses = losses + self.rpo_alpha * own
            metrics["nll_loss"] = weighed(own.detach(), batch).sum()
        metrics |= {**losses_by_dataset(losses, batch), **policy.routing}
        loss = weighed(losses, batch).sum() + policy.routing_loss * batch["num_items"]
        return LossOutput(loss=loss, num_items=batch["num_items"], metrics=metrics)

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> TrainingJob | None:
        from tunesmith_library_training.moments import Moments
        from tunesmith_library_training.remembering import remember

        if self.bco_weight:
            self._rewards = Moments()
            remember(job.model, "the mean reward of stage.bco_weight", self._rewards.kept, self._rewards.restore)
        return super().prepare(job, load)

    def _classified(self, ratios: Any, batch: Batch) -> Any:
        """BCO's loss of each pair, (P,); batches with gradients count in its shift, evaluations do not.

        Args:
            ratios: r of all chosen answers, then of all rejected ones, (2P,); per token where the loss is.
        """
        import torch
        from tunesmith_library_training.moments import Moments

        from tunesmith_stage_dpo.losses import shifted_bco

        rewards = self.beta * ratios
        self._rewards = self._rewards or Moments()
        if torch.is_grad_enabled():
            weights = batch.get("row_weights")
            self._rewards.add(rewards, None if weights is None else weights.repeat(2))
        chosen, rejected = rewards.chunk(2)
        return shifted_bco(chosen, rejected, self._rewards.mean)

    def reference_log_probs(self, model: Any, batch: Batch) -> Columns:
        from tunesmith_library_training.log_probs import sequence_log_probs

        found = sequence_log_probs(model, batch, self.loss_chunk_size).weighted.chunk(2)
        return dict(zip(_COLUMNS, found, strict=True))
