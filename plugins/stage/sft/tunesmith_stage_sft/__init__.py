"""Supervised fine-tuning: the loss of the next token, on what the assistant says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, Problem, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_training.metrics import TOKEN_METRICS
from tunesmith_library_training.rows import Advise, other_stages, packed_in_vain, usable
from tunesmith_library_training.weighing import TokenWeights, rule_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class SupervisedFineTuning(TokenWeights):
    """Learn the assistant's turns of conversations (rows with `messages`)."""

    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("cutoff_len", "max_seq_length", "max_seq_len", "sequence_len"), "max_length"),
        **{"sample_packing": "packing", "mask_history": "last_turn_only"},
    }

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a conversation, or of a packed row
    # conversations over max_length lose their end, the turns that do not fit whole, or are left out
    longer: Literal["cut", "turns", "drop"] = "cut"
    packing: bool = False  # put several conversations in a row of up to max_length tokens; they do not see each other
    train_on_prompt: bool = False  # learn all tokens, not only the assistant's
    last_turn_only: bool = False  # learn only the assistant's last turn
    # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB
    loss_chunk_size: Annotated[int, at_least(0, most=100_000_000)] = 0

    changeable: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)
    beside_encoding: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)
    traits: ClassVar[StageTraits] = StageTraits(
        reads=("messages",), token_loss=True, streams=True, balances_experts=True, metrics=TOKEN_METRICS, additive=True
    )

    _advise: Advise | None = None
    _said: set[str] = set()

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = rule_problems(self.weights, self.last_turn_only)
        if self.train_on_prompt and self.last_turn_only:
            message = "stage.train_on_prompt learns all tokens, stage.last_turn_only one answer alone."
            problems.append(Problem("stage.last_turn_only", message, "set one of them to false"))
        return problems + (packed_in_vain(plan) if self.packing else [])

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._advise = other_stages(plan)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_training.estimating import estimate_token_loss

        return estimate_token_loss(estimate, self.max_length, self.loss_chunk_size, not plan.uses("loss"))

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.encoding import Spans, encode_conversations
        from tunesmith_library_training.fitting import Fitting
        from tunesmith_library_training.media import columns_of

        from tunesmith_stage_sft.packing import pack

        rows = usable(rows, self.traits.reads, "sft", self._said, self._advise, last_only=self.last_turn_only)
        rows = self.weighed_rows(rows, "sft", self._said)
        rules = self.weighing(template)
        by = (self.message_weights, self.row_weights)
        spans = Spans(self.train_on_prompt, self.last_turn_only, *by, rules, template)
        most = None if self.longer == "drop" else self.max_length
        encoded = encode_conversations(rows, processor, template, spans, most, turns=self.longer == "turns")
        if rules is not None:
            rules.count(len(rows))
        fitting = Fitting(self.max_length, self.longer, "sft", self._said)
        trained = [encoded[index] for index in fitting.kept(rows, [[item] for item in encoded])]
        columns = ("input_ids", "labels", *(("weights",) if spans.weighted else ()), *columns_of(processor))
        if self.packing:
            return pack(trained, self.max_length, columns)
        return {name: [item[name] for item in trained] for name in columns}

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free, processor)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
