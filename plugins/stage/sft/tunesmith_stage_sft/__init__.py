"""Supervised fine-tuning: the loss of the next token, on what the assistant says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import IGNORED, Batch, LossOutput, Problem, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_training.metrics import TOKEN_METRICS
from tunesmith_library_training.rows import Advise, other_stages, packed_in_vain, usable, warn_once

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class SupervisedFineTuning:
    """Learn the assistant's turns of conversations (rows with `messages`)."""

    known_as: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("cutoff_len", "max_seq_length", "max_seq_len", "sequence_len"), "max_length"),
        **{"sample_packing": "packing", "mask_history": "last_turn_only"},
    }

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a conversation, or of a packed row
    longer: Literal["cut", "drop"] = "cut"  # conversations over max_length lose their end, or are left out
    packing: bool = False  # put several conversations in a row of up to max_length tokens; they do not see each other
    train_on_prompt: bool = False  # learn all tokens, not only the assistant's
    last_turn_only: bool = False  # learn only the assistant's last turn
    message_weights: bool = False  # multiply the loss by each message's weight; a weight of 0 always means not trained
    # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB
    loss_chunk_size: Annotated[int, at_least(0, most=100_000_000)] = 0

    changeable: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)
    traits: ClassVar[StageTraits] = StageTraits(
        reads=("messages",), token_loss=True, streams=True, balances_experts=True, metrics=TOKEN_METRICS
    )

    _advise: Advise | None = None
    _said: set[str] = set()

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return packed_in_vain(plan) if self.packing else []

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._advise = other_stages(plan)

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_training.estimating import estimate_token_loss

        return estimate_token_loss(estimate, self.max_length, self.loss_chunk_size)

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.encoding import Spans, encode_conversations

        from tunesmith_stage_sft.packing import pack

        rows = usable(rows, self.traits.reads, "sft", self._said, self._advise, last_only=self.last_turn_only)
        spans = Spans(self.train_on_prompt, self.last_turn_only, self.message_weights)
        encoded = encode_conversations(rows, processor, template, spans)
        lengths = [len(item["input_ids"]) for item in encoded]
        if longer := sum(length > self.max_length for length in lengths):
            fate = "lose their end" if self.longer == "cut" else "are left out"
            what = f"are over {self.max_length} tokens and {fate} (stage.max_length)"
            warn_once(self._said, "sft", longer, rows, what, lost=self.longer == "drop")
        if longer and self.longer == "drop":
            encoded = [item for item, length in zip(encoded, lengths, strict=True) if length <= self.max_length]
        elif longer:
            encoded = [{name: values[: self.max_length] for name, values in item.items()} for item in encoded]
        trained = [item for item in encoded if item["labels"][1:].count(IGNORED) < len(item["labels"]) - 1]
        without = len(encoded) - len(trained)
        warn_once(self._said, "sft", without, rows, "have no token to learn and are left out", lost=True)
        columns = ("input_ids", "labels", *(("weights",) if self.message_weights else ()))
        if self.packing:
            return pack(trained, self.max_length, columns)
        return {name: [item[name] for item in trained] for name in columns}

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool) -> Batch:
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
