"""Learning in which a short conversation counts as much as a long one: `stage=even.py:Even`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, LossOutput, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_training.rows import usable


@plugin
class Even:
    """The mean loss of the assistant's tokens of each conversation, and the mean of these (rows with `messages`)."""

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a conversation; longer ones are cut

    traits: ClassVar[StageTraits] = StageTraits(reads=("messages",), streams=True, additive=True)

    _said: set[str] = set()

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.encoding import Spans, encode_conversations
        from tunesmith_library_training.fitting import Fitting

        rows = usable(rows, self.traits.reads, "even", self._said)
        encoded = encode_conversations(rows, processor, template, Spans(), self.max_length)
        fitting = Fitting(self.max_length, "cut", "even", self._said)
        kept = [encoded[index] for index in fitting.kept(rows, [[item] for item in encoded])]
        return {name: [item[name] for item in kept] for name in ("input_ids", "labels")}

    @hookimpl
    def collate(self, examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> Batch:
        from tunesmith_library_training.batches import collate

        return {**collate(examples, padding_free, processor), "num_items": float(len(examples))}

    @hookimpl
    def compute_loss(self, model: Any, batch: Batch) -> LossOutput:
        from tunesmith_library_training.log_probs import sequence_log_probs

        means = sequence_log_probs(model, batch).means  # (B,)
        return LossOutput(-means.sum(), batch["num_items"], {"likelihood": means.detach().exp().sum()})
