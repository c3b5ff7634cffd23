"""What the stages share that learn from answers to a prompt: preferences, rewards. Free of torch until it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import IGNORED, Batch, Message, Row
from tunesmith_library_chat import ChatTemplate

from tunesmith_library_training.rows import Advise, other_stages, usable, warn_once

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

Answers = Mapping[str, Sequence[Sequence[Message]]]
"""Prefix of columns, such as `chosen_`: the answer of every row."""


@dataclass(kw_only=True, eq=False)
class CompletionStage:
    """Encodes and batches rows of a `prompt` and one or more answers to it, of which the answers are trained."""

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a prompt with its answer
    longer: Literal["cut", "drop"] = "cut"  # what is over max_length loses its end, or its row is left out

    NAME: ClassVar[str]
    SEQUENCES: ClassVar[int] = 1  # answers of a row that learn together
    traits: ClassVar[StageTraits]

    _advise: Advise | None = field(default=None, init=False, repr=False)
    _said: set[str] = field(default_factory=set, init=False, repr=False)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._advise = other_stages(plan)

    def usable_rows(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that have answers. Raises: DataError for rows without the columns that this stage reads."""
        return usable(rows, self.traits.reads, self.NAME, self._said, self._advise)

    def encode_answers(
        self, rows: Sequence[Row], processor: Any, template: ChatTemplate, answers: Answers
    ) -> tuple[dict[str, list[Any]], list[int]]:
        """Tokenise each row's prompt with each of its answers.

        Returns: per prefix the columns `PREFIXinput_ids` and `PREFIXlabels`, whose trained tokens are what the
            assistant says in the answer; and the indices of the rows that they are of: others are left out.
        """
        encoded = {prefix: answered(rows, processor, template, answer_of) for prefix, answer_of in answers.items()}
        lengths = [max(len(every[index]["input_ids"]) for every in encoded.values()) for index in range(len(rows))]
        kept = [index for index, length in enumerate(lengths) if length <= self.max_length or self.longer == "cut"]
        fate = "lose their end" if self.longer == "cut" else "are left out"
        longer = sum(length > self.max_length for length in lengths)
        what = f"are over {self.max_length} tokens and {fate} (stage.max_length)"
        warn_once(self._said, self.NAME, longer, rows, what, lost=self.longer == "drop")
        for every in encoded.values():
            for sequence in every:
                sequence.update({name: values[: self.max_length] for name, values in sequence.items()})
        whole = [index for index in kept if all(is_trained(every[index]) for every in encoded.values())]
        without = len(kept) - len(whole)
        warn_once(self._said, self.NAME, without, rows, "have no token of an answer and are left out", lost=True)
        columns = {
            f"{prefix}{name}": [every[index][name] for index in whole]
            for prefix, every in encoded.items()
            for name in ("input_ids", "labels")
        }
        return columns, whole


@dataclass(kw_only=True, eq=False)
class LogProbStage(CompletionStage):
    """A stage whose loss is made of the answers' log-probabilities (`log_probs.sequence_log_probs`)."""

    # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB
    loss_chunk_size: Annotated[int, at_least(0, most=100_000_000)] = 0

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_training.estimating import estimate_answers

        return estimate_answers(estimate, self.max_length, self.loss_chunk_size, self.SEQUENCES)


def _chat(row: Row, answer: Sequence[Message]) -> Row:
    """A conversation of which only the answer is trained."""
    prompt = [{**message, "weight": 0} for message in row["prompt"]]
    made: Row = {name: row[name] for name in ("tools", "enable_thinking") if name in row}
    return {**made, "messages": [*prompt, *answer]}


def answered(
    rows: Sequence[Row], processor: Any, template: ChatTemplate, answers: Sequence[Sequence[Message]]
) -> list[dict[str, list[Any]]]:
    """Each row's prompt with one answer, tokenised whole: `input_ids`, and `labels` of which the answer is trained."""
    from tunesmith_library_training.encoding import Spans, encode_conversations

    chats = [_chat(row, answer) for row, answer in zip(rows, answers, strict=True)]
    return encode_conversations(chats, processor, template, Spans())


def is_trained(sequence: Mapping[str, Sequence[int]]) -> bool:
    """Whether a tokenised sequence has a token to learn: the first is predicted by none."""
    return any(label != IGNORED for label in sequence["labels"][1:])


def collate_answers(
    examples: Sequence[Mapping[str, Any]],
    prefixes: Sequence[str],
    padding_free: bool,
    weights: Sequence[Any] | None = None,
) -> Batch:
    """One batch of all examples' sequences: those of the first prefix, then those of the second, …

    Args:
        weights: of the labels of each sequence in this order, float arrays; None for none.

    Returns: as `batch.concatenate` or `batch.pad`, with `num_items` the number of examples; where they say of which
        data set they are, `datasets` (number of examples,) and `dataset_names` for `by_dataset.losses_by_dataset`.
    """
    import torch

    from tunesmith_library_training.batches import concatenate, dataset_numbers, pad, unpack

    sequences = [
        unpack({name: example[f"{prefix}{name}"] for name in ("input_ids", "labels")})[0]
        for prefix in prefixes
        for example in examples
    ]
    if weights is not None:
        sequences = [{**sequence, "weights": values} for sequence, values in zip(sequences, weights, strict=True)]
    batch = {**(concatenate(sequences) if padding_free else pad(sequences)), "num_items": float(len(examples))}
    names, numbers = dataset_numbers(examples)
    return {**batch, "datasets": torch.tensor(numbers), "dataset_names": names} if names else batch
