"""A training objective: the next token of plain text."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, Row, model_inputs
from tunesmith_library_chat import tokenizer_of


@plugin
class Placeholder:
    """Every token of a text but the first is predicted from those before it."""

    traits: ClassVar[StageTraits] = StageTraits(reads=("text",), token_loss=True, streams=True, additive=True)

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of an example; what is longer is cut

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any) -> dict[str, list[Any]]:
        tokenizer = tokenizer_of(processor)
        for row in rows:
            if "text" not in row:
                raise DataError(f"this stage trains on rows with text; found {', '.join(row)}.")
        texts = [row["text"] + tokenizer.eos_token for row in rows]
        encoded = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=self.max_length)
        return {"input_ids": encoded["input_ids"], "labels": encoded["input_ids"]}

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool) -> Batch:
        from .batch import concatenate, pad

        return concatenate(examples) if padding_free else pad(examples)

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from torch.nn.functional import cross_entropy

        logits = model(**model_inputs(batch), use_cache=False).logits[:, :-1].float()  # (B, T - 1, V)
        labels = batch["labels"][:, 1:]  # (B, T - 1)
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        return LossOutput(loss, batch["num_items"])
