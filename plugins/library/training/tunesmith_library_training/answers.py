"""What the stages share that learn from answers to a prompt: preferences, rewards. Free of torch until it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith.types import Batch, Message, Problem, Row
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_formats import tallying

from tunesmith_library_training.rows import Advise, other_stages, usable
from tunesmith_library_training.weighing import RowWeights, TokenWeights, checked, rule_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

    from tunesmith_library_training.encoding import Encoded, Spans

_OF_TOKENS = ("input_ids", "labels", "weights")

Answers = Mapping[str, Sequence[Sequence[Message]]]
"""Prefix of columns, such as `chosen_`: the answer of every row."""


@dataclass(kw_only=True, eq=False)
class CompletionStage(RowWeights):
    """Encodes and batches rows of a `prompt` and one or more answers to it, of which the answers are trained."""

    max_length: Annotated[int, at_least(2, most=100_000_000)] = 2048  # tokens of a prompt with its answer
    # what is over max_length loses its end, or the beginning of its prompt, or its row is left out
    longer: Literal["cut", "cut_prompt", "drop"] = "cut"

    NAME: ClassVar[str]
    SEQUENCES: ClassVar[int] = 1  # answers of a row that learn together
    traits: ClassVar[StageTraits]

    _advise: Advise | None = field(default=None, init=False, repr=False)
    _said: set[str] = field(default_factory=set, init=False, repr=False)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._advise = other_stages(plan)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        sequences, length = self.SEQUENCES * estimate.sequences, self.max_length
        return replace(estimate, sequences=sequences, per_example=self.SEQUENCES, length=length)

    def usable_rows(self, rows: Sequence[Row], processor: Any) -> list[Row]:
        """The rows that have answers, whose messages carry themselves what they show.

        Raises: DataError for rows without the columns that this stage reads, and for media that cannot be shown.
        """
        from tunesmith_library_training.media import carrying

        rows = usable(rows, self.traits.reads, self.NAME, self._said, self._advise)
        rows = [carrying(row, processor) for row in rows]
        return self.weighed_rows(rows, self.NAME, self._said)

    def spans(self, template: ChatTemplate) -> Spans:
        """What of answers is trained, for one call of `encode`; weights of their tokens mean nothing to this stage."""
        from tunesmith_library_training.encoding import Spans

        return Spans(by_message=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """What an encoded answer has."""
        return ("input_ids", "labels")

    def encode_answers(
        self, rows: Sequence[Row], processor: Any, template: ChatTemplate, answers: Answers
    ) -> tuple[dict[str, list[Any]], list[int]]:
        """Tokenise each row's prompt with each of its answers.

        Returns: per prefix the columns `PREFIXinput_ids` and `PREFIXlabels`, whose trained tokens are what the
            assistant says in the answer, with weights also `PREFIXweights`; `PREFIXimages` and the like of what the
            model takes; with weights of rows the column `weight`; and the indices of the rows that they are of: others
            are left out.
        """
        from tunesmith_library_training.fitting import Fitting
        from tunesmith_library_training.media import columns_of

        spans, most = self.spans(template), self.max_length if self.longer == "cut" else None
        encoded = {
            prefix: answered(rows, processor, template, answer_of, spans, most) for prefix, answer_of in answers.items()
        }
        if self.longer == "cut_prompt":
            self._shorten(rows, processor, template, answers, encoded)
        if spans.rules is not None:
            spans.rules.count(len(rows))
        fitting = Fitting(self.max_length, self.longer, self.NAME, self._said, "token of an answer")
        kept = fitting.kept(rows, list(zip(*encoded.values(), strict=True)))
        columns: dict[str, list[Any]] = {
            f"{prefix}{name}": [every[index][name] for index in kept]
            for prefix, every in encoded.items()
            for name in (*self.columns, *columns_of(processor))
        }
        if self.row_weights:
            columns["weight"] = [checked(rows[index].get("weight"), "a row") for index in kept]
        return columns, kept

    def _shorten(
        self,
        rows: Sequence[Row],
        processor: Any,
        template: ChatTemplate,
        answers: Answers,
        encoded: Mapping[str, list[Encoded]],
    ) -> None:
        """Encode rows that are too long again, without the beginning of their prompts; answers that have no room even
        so lose their end."""
        from tunesmith_library_training.shortening import shorten_prompts

        def again(rows: Sequence[Row], which: Sequence[int], most: int | None) -> list[list[Encoded]]:
            return [
                answered(rows, processor, template, [answers_of[index] for index in which], self.spans(template), most)
                for answers_of in answers.values()
            ]

        def lengths(rows: Sequence[Row], which: Sequence[int]) -> list[int]:
            return [max(item.length for item in group) for group in zip(*again(rows, which, None), strict=True)]

        longest = {
            index: max(encoded, key=lambda prefix, index=index: encoded[prefix][index].length)  # type: ignore[misc]
            for index in range(len(rows))
        }
        long = [index for index, prefix in longest.items() if encoded[prefix][index].length > self.max_length]
        with tallying():  # what there is to say of these rows was said
            said = {index: answers[longest[index]][index] for index in long}
            asked = {index: rows[index] for index in long}
            made = shorten_prompts(asked, said, lengths, self.max_length, processor, template)
            shorter = again(list(made.values()), list(made), self.max_length)
        for sequences, found in zip(encoded.values(), shorter, strict=True):
            for index, sequence in zip(made, found, strict=True):
                sequence.length = sequences[index].length
                sequences[index] = sequence


@dataclass(kw_only=True, eq=False)
class LogProbStage(TokenWeights, CompletionStage):
    """A stage whose loss is made of the answers' log-probabilities (`log_probs.sequence_log_probs`)."""

    # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB
    loss_chunk_size: Annotated[int, at_least(0, most=100_000_000)] = 0

    beside_encoding: ClassVar[tuple[str, ...]] = ("loss_chunk_size",)

    def spans(self, template: ChatTemplate) -> Spans:
        from tunesmith_library_training.encoding import Spans

        return Spans(by_message=self.message_weights, rules=self.weighing(template))

    @property
    def columns(self) -> tuple[str, ...]:
        weighted = self.message_weights or self.weights
        return ("input_ids", "labels", "weights") if weighted else ("input_ids", "labels")

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return rule_problems(self.weights)

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
    rows: Sequence[Row],
    processor: Any,
    template: ChatTemplate,
    answers: Sequence[Sequence[Message]],
    spans: Spans,
    most: int | None,
) -> list[Encoded]:
    """Each row's prompt with one answer, of which the answer is trained; see `encoding.encode_conversations`."""
    from tunesmith_library_training.encoding import encode_conversations

    chats = [_chat(row, answer) for row, answer in zip(rows, answers, strict=True)]
    return encode_conversations(chats, processor, template, spans, most)


def weighed(values: Any, batch: Batch) -> Any:
    """Values of the examples (B,) times their weights, where a batch of `collate_answers` has any."""
    weights = batch.get("row_weights")
    return values if weights is None else values * weights


def collate_answers(
    examples: Sequence[Mapping[str, Any]],
    prefixes: Sequence[str],
    padding_free: bool,
    weights: Sequence[Any] | None = None,
    processor: Any = None,
) -> Batch:
    """One batch of all examples' sequences: those of the first prefix, then those of the second, …

    Args:
        weights: further ones of the labels of each sequence in this order, float arrays; None for none.
        processor: of the model, which makes tensors of what the sequences show.

    Returns: as `batch.concatenate` or `batch.pad`, with `length_weights` where there are `weights`; `num_items`, the
        number of examples; where they have a `weight`, `row_weights` (number of examples,) fp32, of which `num_items`
        is the sum; where they say of which data set they are, `datasets` (number of examples,) and `dataset_names` for
        `by_dataset.losses_by_dataset`.
    """
    import torch

    from tunesmith_library_training.batches import COLUMNS, concatenate, dataset_numbers, pad, shown, unpack

    sequences = [
        unpack({name: example[prefix + name] for name in _OF_TOKENS if prefix + name in example})[0]
        for prefix in prefixes
        for example in examples
    ]
    items = [
        {name: example[prefix + name] for name in COLUMNS if prefix + name in example}
        for prefix in prefixes
        for example in examples
    ]
    if weights is not None:
        sequences = [{**sequence, "length_weights": each} for sequence, each in zip(sequences, weights, strict=True)]
    batch = {**(concatenate(sequences) if padding_free else pad(sequences)), "num_items": float(len(examples))}
    batch.update(shown(batch, items, processor))
    if "weight" in examples[0]:
        batch["row_weights"] = torch.tensor([float(example["weight"]) for example in examples])
        batch["num_items"] = sum(float(example["weight"]) for example in examples)
    names, numbers = dataset_numbers(examples)
    return {**batch, "datasets": torch.tensor(numbers), "dataset_names": names} if names else batch
