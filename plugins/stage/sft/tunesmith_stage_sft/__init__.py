"""Supervised fine-tuning: the loss of the next token, on what the assistant says."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.types import IGNORED, Batch, LossOutput, Problem, Row
from tunesmith_library_chat import ChatTemplate

logger = logging.getLogger("tunesmith")


@plugin
class SupervisedFineTuning:
    """Learn the assistant's turns of conversations (rows with `messages`)."""

    max_length: int = 2048  # tokens of a conversation, or of a packed row
    longer: Literal["cut", "drop"] = "cut"  # conversations over max_length lose their end, or are left out
    packing: bool = False  # put several conversations in a row of up to max_length tokens; they do not see each other
    train_on_prompt: bool = False  # learn all tokens, not only the assistant's
    last_turn_only: bool = False  # learn only the assistant's last turn
    message_weights: bool = False  # multiply the loss by each message's weight; a weight of 0 always means not trained
    loss_chunk_size: int = 0  # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB

    _reported: ClassVar[frozenset[str]] = frozenset()

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        problems = []
        if self.max_length < 2:
            problems.append(Problem("stage.max_length", f"{self.max_length} tokens leave nothing to predict", "2048"))
        if self.loss_chunk_size < 0:
            problems.append(Problem("stage.loss_chunk_size", "cannot be negative", "0 chooses a size"))
        if self.packing and not plan.get("trainer.padding_free", True):
            message = "rows are taken apart and padded again: packing saves nothing without trainer.padding_free"
            problems.append(Problem("stage.packing", message, "stage.packing=false", severity="warning"))
        return problems

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.encoding import Spans, encode_conversations

        from tunesmith_stage_sft.packing import pack

        spans = Spans(self.train_on_prompt, self.last_turn_only, self.message_weights)
        encoded = encode_conversations(rows, processor, template, spans)
        lengths = [len(item["input_ids"]) for item in encoded]
        if longer := sum(length > self.max_length for length in lengths):
            fate = "lose their end" if self.longer == "cut" else "are left out"
            self._report("longer", longer, rows, f"are over {self.max_length} tokens and {fate} (stage.max_length)")
        if longer and self.longer == "drop":
            encoded = [item for item, length in zip(encoded, lengths, strict=True) if length <= self.max_length]
        elif longer:
            encoded = [{name: values[: self.max_length] for name, values in item.items()} for item in encoded]
        trained = [item for item in encoded if item["labels"][1:].count(IGNORED) < len(item["labels"]) - 1]
        self._report("untrained", len(encoded) - len(trained), rows, "have no token to learn and are left out")
        columns = ("input_ids", "labels", *(("weights",) if self.message_weights else ()))
        if self.packing:
            return pack(trained, self.max_length, columns)
        return {name: [item[name] for item in trained] for name in columns}

    def _report(self, what: str, count: int, rows: Sequence[Row], message: str) -> None:
        """Warn of rows that are not used as they are, the first time that it happens."""
        if count and what not in self._reported:
            self._reported = self._reported | {what}  # type: ignore[misc]
            logger.warning("stage.sft: %d of the first %d rows %s", count, len(rows), message)

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool) -> Batch:
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
