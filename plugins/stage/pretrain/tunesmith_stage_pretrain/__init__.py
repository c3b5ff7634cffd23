"""Pre-training: the loss of the next token, on all of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.types import Batch, LossOutput, Problem, Row


@plugin
class Pretraining:
    """Learn whole documents (rows with `text`), each ended by the tokenizer's end-of-text token."""

    max_length: int = 2048  # tokens of a row
    packing: bool = True  # join documents and cut them into rows of max_length tokens; false: a row is of one document
    isolate_documents: bool = True  # with packing: the documents of a row do not see each other
    longer: Literal["split", "cut"] = "split"  # without packing: long documents become several rows, or lose their end
    loss_chunk_size: int = 0  # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        problems = []
        if self.max_length < 2:
            problems.append(Problem("stage.max_length", f"{self.max_length} tokens leave nothing to predict", "2048"))
        if self.loss_chunk_size < 0:
            problems.append(Problem("stage.loss_chunk_size", "cannot be negative", "0 chooses a size"))
        if self.packing and self.isolate_documents and not plan.get("trainer.padding_free", True):
            message = "rows are taken apart and padded again: packing saves nothing without trainer.padding_free"
            problems.append(Problem("stage.packing", message, "stage.packing=false", severity="warning"))
        return problems

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any) -> dict[str, list[Any]]:
        from tunesmith_stage_pretrain.encode import join, split, tokenize

        documents = tokenize(rows, processor)
        if self.packing:
            return join(documents, self.max_length, self.isolate_documents)
        return split(documents, self.max_length, keep_rest=self.longer == "split")

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool) -> Batch:
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
