"""Pre-training: the loss of the next token, on all of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, Problem, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_formats import measure
from tunesmith_library_training.metrics import TOKEN_METRICS
from tunesmith_library_training.rows import Advise, other_stages, packed_in_vain, require, text_only, warn_once

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Pretraining:
    """Learn whole documents (rows with `text`), each ended by the tokenizer's end-of-text token."""

    also_called: ClassVar[tuple[str, ...]] = ("pt", "cpt", "pretraining", "continued_pretraining")

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a row
    packing: bool = True  # join documents and cut them into rows of max_length tokens; false: a row is of one document
    isolate_documents: bool = True  # with packing: the documents of a row do not see each other
    longer: Literal["split", "cut"] = "split"  # without packing: long documents become several rows, or lose their end
    # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB
    loss_chunk_size: Annotated[int, at_least(0, most=100_000_000)] = 0

    changeable: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)
    beside_encoding: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)
    traits: ClassVar[StageTraits] = StageTraits(
        reads=("text",), token_loss=True, streams=True, balances_experts=True, metrics=TOKEN_METRICS, additive=True
    )

    _advise: Advise | None = None
    _said: set[str] = set()

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return packed_in_vain(plan) if self.packing and self.isolate_documents else []

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._advise = other_stages(plan)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_training.estimating import estimate_token_loss

        return estimate_token_loss(estimate, self.max_length, self.loss_chunk_size, not plan.uses("loss"))

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_stage_pretrain.encode import documents_of, join, sizes_of

        for row in rows:
            require(row, self.traits.reads, "pretrain", self._advise)
            text_only(row, "pretrain")
        said = [row for row in rows if row["text"]]
        warn_once(self._said, "pretrain", len(rows) - len(said), rows, "are empty and left out", lost=True)
        documents = documents_of(said, processor, template)
        if not self.packing:
            return self._split(said, documents)
        columns = join(documents, self.max_length, self.isolate_documents)
        measure(sizes_of(said, documents, columns))
        return columns

    def _split(self, rows: Sequence[Row], documents: Sequence[list[int]]) -> dict[str, list[Any]]:
        """Rows of one document each; documents that lose tokens are counted."""
        from tunesmith_library_training.fitting import place_of

        from tunesmith_stage_pretrain.encode import columns_of, sizes_of, split

        pieces = [split(document, self.max_length, self.longer == "split") for document in documents]
        removed = [len(document) - sum(map(len, some)) for document, some in zip(documents, pieces, strict=True)]
        cut = [index for index, some in enumerate(pieces) if some and removed[index]]
        what = f"are over {self.max_length} tokens and lose their end (stage.max_length)"
        warn_once(self._said, "pretrain", len(cut), rows, what, first=place_of([rows[index] for index in cut[:1]]))
        nothing = sum(not some for some in pieces)
        warn_once(self._said, "pretrain", nothing, rows, "have no token to learn and are left out", lost=True)
        columns = columns_of([piece for some in pieces for piece in some])
        sizes = sizes_of(rows, documents, columns)
        sizes.cut, sizes.removed = len(cut), sum(removed[index] for index in cut)
        measure(sizes)
        return columns

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        from tunesmith_library_training.batches import collate

        return collate(examples, padding_free, processor)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.token_loss import token_loss

        return token_loss(model, batch, chunk_size=self.loss_chunk_size)
