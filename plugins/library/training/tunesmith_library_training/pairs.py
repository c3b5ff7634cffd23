"""Pairs of answers, one of them preferred: their columns, batches and metrics. For every stage that compares two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tunesmith import hookimpl
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, Row
from tunesmith_library_chat import ChatTemplate

from tunesmith_library_training.answers import CompletionStage, collate_answers, weighed
from tunesmith_library_training.metrics import PAIR_METRICS

PREFIXES = ("chosen_", "rejected_")


@dataclass(kw_only=True, eq=False)
class PairStage(CompletionStage):
    """Rows with `prompt`, `chosen` and `rejected`; batches of all chosen sequences, then all rejected ones."""

    SEQUENCES: ClassVar[int] = 2
    traits: ClassVar[StageTraits] = StageTraits(
        reads=("prompt", "chosen", "rejected"), balances_experts=True, metrics=PAIR_METRICS
    )

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        rows = self.usable_rows(rows, processor)
        answers = {f"{name}_": [row[name] for row in rows] for name in ("chosen", "rejected")}
        return self.encode_answers(rows, processor, template, answers)[0]

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        return collate_answers(examples, PREFIXES, padding_free, processor=processor)


def pair_metrics(rewards: Any, log_probs: Any, batch: Batch) -> dict[str, Any]:
    """Sums over the pairs of what is logged, under TRL's names, by the weights of rows where they have any.

    Args:
        rewards: (2P,), those of the chosen answers first.
        log_probs: (2P,), likewise.
        batch: of `collate_answers`.
    """
    chosen, rejected = rewards.detach().chunk(2)
    chosen_log_probs, rejected_log_probs = log_probs.detach().chunk(2)
    found = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/accuracies": (chosen > rejected).float(),
        "rewards/margins": chosen - rejected,
        "logps/chosen": chosen_log_probs,
        "logps/rejected": rejected_log_probs,
    }
    return {name: weighed(values, batch).sum() for name, values in found.items()}
