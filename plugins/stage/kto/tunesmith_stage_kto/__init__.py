"""Kahneman-Tversky optimisation: learn from single answers that are marked desirable or not.

Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization" (arXiv 2402.01306).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_formats import tallying
from tunesmith_library_training.answers import answered, collate_answers, weighed
from tunesmith_library_training.metrics import PAIR_METRICS, Directions
from tunesmith_library_training.reference_stage import Columns, ReferenceStage, collate_columns
from tunesmith_library_training.rows import warn_once

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

_PREFIXES = ("", "kl_")  # the answer, and the answer to another prompt

_OF_ANSWERS = frozenset({"input_ids", "labels", "weights", "images", "videos", "audios"})  # columns of a mismatched one


@plugin
class KahnemanTversky(ReferenceStage):
    """Make desirable answers likelier and undesirable ones less likely (rows with `completion` and `label`)."""

    # kto measures answers against how far the model has moved on others; apo_zero_unpaired (arXiv 2408.06266) against 0
    loss: Literal["kto", "apo_zero_unpaired"] = "kto"
    # strength of the tie to the reference; smaller lets the model go further
    beta: Annotated[float, above(0, most=1_000_000)] = 0.1
    # of desirable answers; weight × number of both kinds should be in ratio 1:1 to 4:3
    desirable_weight: Annotated[float, at_least(0, most=1_000_000)] = 1.0
    undesirable_weight: Annotated[float, at_least(0, most=1_000_000)] = 1.0  # of undesirable answers
    # weight of the desirable answers' own loss per token beside it
    sft_alpha: Annotated[float, at_least(0, most=1_000_000)] = 0.0

    NAME: ClassVar[str] = "kto"
    changeable: ClassVar[tuple[str, ...]] = (
        "beta",
        "desirable_weight",
        "undesirable_weight",
        "sft_alpha",
    )
    beside_encoding: ClassVar[tuple[str, ...]] = changeable

    @property
    def traits(self) -> StageTraits:  # type: ignore[override]
        own: Directions = {"nll_loss": False} if self.sft_alpha else {}
        return StageTraits(
            reads=("prompt", "completion", "label"),
            reference=True,
            balances_experts=True,
            additive=not self._measures_kl,  # which is a mean over the batch
            metrics={**PAIR_METRICS, "kl": False, **own},
        )

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        made = super().estimate(estimate, plan)
        if not self._measures_kl:
            return made
        from tunesmith_library_estimates.working import Work
        from tunesmith_library_training.reference_costs import forward_flops

        mismatched = Work(flops=forward_flops(made, made.length))  # as many answers again, without gradients
        return made.doing("answers to other prompts", mismatched)

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        rows = self.usable_rows(rows, processor)
        answers = [row["completion"] for row in rows]
        columns, kept = self.encode_answers(rows, processor, template, {"": answers})
        if self._measures_kl:
            columns |= self._mismatched(rows, kept, processor, template)
        return {**columns, "label": [bool(rows[index]["label"]) for index in kept]}

    def _mismatched(
        self, rows: Sequence[Row], kept: Sequence[int], processor: Any, template: ChatTemplate
    ) -> dict[str, list[Any]]:
        """The columns `kl_input_ids`, `kl_labels` …: prompts with the answer to another one, cut at `max_length`.

        They decide on no row: where there is no such answer, or no token of it has room, they are empty.
        """
        from tunesmith_library_training.media import columns_of

        from tunesmith_stage_kto.mismatching import other_rows

        others = other_rows([row["prompt"] for row in rows])
        pairs = {index: other for index in kept if (other := others[index]) is not None}
        asked, replies = [rows[index] for index in pairs], [rows[other]["completion"] for other in pairs.values()]
        with tallying():  # what there is to say of these answers is said of them in their own place
            sequences = answered(asked, processor, template, replies, self.spans(template), self.max_length)
        found = {index: sequence for index, sequence in zip(pairs, sequences, strict=True) if sequence.trained}
        without = len(kept) - len(found)
        warn_once(self._said, self.NAME, without, rows, "have no answer to another prompt and do not count in the KL")
        names = (*self.columns, *columns_of(processor))
        nothing: dict[str, list[Any]] = {
            **{name: [] for name in names},
            "weights": [0.0],
        }  # whose numbers are fractions
        return {f"kl_{name}": [found.get(index, nothing)[name] for index in kept] for name in names}

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        """
        Returns: a batch of the answers, with `desirable` (B,) bool, and `kl`, a batch of the mismatched answers, of
            which those count that are `mismatched` (B,) bool; in the others' place stands the answer itself.
        """
        import torch

        batch = collate_answers(examples, ("",), padding_free, processor=processor)
        batch["desirable"] = torch.tensor([bool(example["label"]) for example in examples])
        if self._measures_kl:
            mismatched = [len(example["kl_input_ids"]) > 0 for example in examples]
            batch["mismatched"] = torch.tensor(mismatched)
            filled = [
                example
                if counts
                else {**example, **{f"kl_{name}": example[name] for name in _OF_ANSWERS & example.keys()}}
                for example, counts in zip(examples, mismatched, strict=True)
            ]
            batch["kl"] = collate_answers(filled, ("kl_",), padding_free, processor=processor)
        return {**batch, **collate_columns(examples, self._columns)}

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        import torch
        from tunesmith_library_training.by_dataset import losses_by_dataset
        from tunesmith_library_training.log_probs import sequence_log_probs

        from tunesmith_stage_kto.losses import kto, mean_over_processes

        answers, desirable, kl = _apart(batch)
        known = batch.get("reference")  # computed before training
        reference = known or self.reference_columns(model, batch)
        baseline = torch.zeros((), device=desirable.device)
        if kl is not None:
            with torch.no_grad():
                moved = sequence_log_probs(model, kl, self.loss_chunk_size).sums - reference[self._columns[1]]
                baseline = mean_over_processes(moved, batch["mismatched"]).clamp(min=0)
        policy = sequence_log_probs(model, answers, self.loss_chunk_size)
        ratios = policy.sums - reference[self._columns[0]]
        weights = torch.where(desirable, self.desirable_weight, self.undesirable_weight)
        losses = weights * kto(ratios, desirable, self.beta, baseline)
        if self.sft_alpha:
            losses = losses - self.sft_alpha * desirable * policy.means
        loss = weighed(losses, batch).sum() + policy.routing_loss * batch["num_items"]
        rewards, by_row = self.beta * ratios.detach(), batch.get("row_weights", 1.0)
        metrics = _metrics(rewards, policy.sums.detach(), desirable, baseline * self.beta, by_row)
        if self.sft_alpha:
            own = desirable * by_row
            metrics["nll_loss"] = torch.stack([-(policy.means.detach() * own).sum(), own.sum()])
        metrics |= {**losses_by_dataset(losses, batch), **policy.routing}
        return LossOutput(loss=loss, num_items=batch["num_items"], metrics=metrics)

    @property
    def reference_passes(self) -> float:
        return 2.0 if self._measures_kl else 1.0  # that to another prompt, too

    def reference_log_probs(self, model: Any, batch: Batch) -> Columns:
        from tunesmith_library_training.log_probs import sequence_log_probs

        answers, _, kl = _apart(batch)
        batches = [answers] if kl is None else [answers, kl]
        found = [sequence_log_probs(model, some, self.loss_chunk_size).sums for some in batches]
        return dict(zip(self._columns, found, strict=True))

    @property
    def _measures_kl(self) -> bool:
        return self.loss == "kto"

    @property
    def _columns(self) -> list[str]:
        """Names of the reference's log-probabilities."""
        return [f"{prefix}reference_log_prob" for prefix in (_PREFIXES if self._measures_kl else _PREFIXES[:1])]


def _apart(batch: Batch) -> tuple[Batch, Any, Batch | None]:
    """The batch of the answers, which of them are desirable, and the batch of the mismatched answers if any."""
    ours = ("desirable", "kl", "mismatched", "reference")
    answers = {name: value for name, value in batch.items() if name not in ours}
    return answers, batch["desirable"], batch.get("kl")


def _metrics(rewards: Any, log_probs: Any, desirable: Any, baseline: Any, weights: Any = 1.0) -> dict[str, Any]:
    """What is logged, under TRL's names: means over the desirable (chosen) or undesirable (rejected) answers alone.

    Args:
        weights: of the answers, (B,).
    """
    import torch

    sides = {"chosen": desirable * weights, "rejected": ~desirable * weights}
    metrics = {
        f"{name}/{side}": torch.stack([(values * mask).sum(), mask.sum()])
        for name, values in (("rewards", rewards), ("logps", log_probs))
        for side, mask in sides.items()
    }
    metrics["rewards/margins"] = torch.stack([metrics["rewards/chosen"], metrics["rewards/rejected"]])
    right = torch.where(desirable, rewards > baseline, rewards < baseline)  # one that has not moved is neither
    metrics["rewards/accuracies"] = (right * weights).sum()
    metrics["kl"] = baseline * (torch.ones_like(rewards) * weights).sum()
    return metrics
