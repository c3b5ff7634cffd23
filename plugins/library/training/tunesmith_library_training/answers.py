"""What the stages share that learn from answers to a prompt: preferences, rewards. Free of torch until it is called."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tunesmith.types import IGNORED, Batch, Message, Problem, Row
from tunesmith_library_chat import ChatTemplate

logger = logging.getLogger("tunesmith")

Answers = Mapping[str, Sequence[Sequence[Message]]]
"""Prefix of columns, such as `chosen_`: the answer of every row."""


@dataclass(kw_only=True, eq=False)
class CompletionStage:
    """Encodes and batches rows of a `prompt` and one or more answers to it, of which the answers are trained."""

    max_length: int = 2048  # tokens of a prompt with its answer
    longer: Literal["cut", "drop"] = "cut"  # what is over max_length loses its end, or its row is left out

    NAME: ClassVar[str]
    _reported: ClassVar[frozenset[str]] = frozenset()

    def problems(self) -> list[Problem]:
        """What is wrong with the options above."""
        if self.max_length < 2:
            return [Problem("stage.max_length", f"{self.max_length} tokens leave nothing to predict", "2048")]
        return []

    def encode_answers(
        self, rows: Sequence[Row], processor: Any, template: ChatTemplate, answers: Answers
    ) -> tuple[dict[str, list[Any]], list[int]]:
        """Tokenise each row's prompt with each of its answers.

        Returns: per prefix the columns `PREFIXinput_ids` and `PREFIXlabels`, whose trained tokens are what the
            assistant says in the answer; and the indices of the rows that they are of: others are left out.
        """
        from tunesmith_library_training.encoding import Spans, encode_conversations

        encoded = {}
        for prefix, answer_of in answers.items():
            chats = [_chat(row, answer) for row, answer in zip(rows, answer_of, strict=True)]
            encoded[prefix] = encode_conversations(chats, processor, template, Spans())
        lengths = [max(len(every[index]["input_ids"]) for every in encoded.values()) for index in range(len(rows))]
        kept = [index for index, length in enumerate(lengths) if length <= self.max_length or self.longer == "cut"]
        fate = "lose their end" if self.longer == "cut" else "are left out"
        longer = sum(length > self.max_length for length in lengths)
        self._report("longer", longer, rows, f"are over {self.max_length} tokens and {fate} (stage.max_length)")
        for every in encoded.values():
            for sequence in every:
                sequence.update({name: values[: self.max_length] for name, values in sequence.items()})
        whole = [index for index in kept if all(_is_trained(every[index]) for every in encoded.values())]
        self._report("untrained", len(kept) - len(whole), rows, "have no token of an answer and are left out")
        columns = {
            f"{prefix}{name}": [every[index][name] for index in whole]
            for prefix, every in encoded.items()
            for name in ("input_ids", "labels")
        }
        return columns, whole

    def _report(self, what: str, count: int, rows: Sequence[Row], message: str) -> None:
        """Warn of rows that are not used as they are, the first time that it happens."""
        if count and what not in self._reported:
            self._reported = self._reported | {what}  # type: ignore[misc]
            logger.warning("stage.%s: %d of the first %d rows %s", self.NAME, count, len(rows), message)


@dataclass(kw_only=True, eq=False)
class LogProbStage(CompletionStage):
    """A stage whose loss is made of the answers' log-probabilities (`log_probs.sequence_log_probs`)."""

    loss_chunk_size: int = 0  # trained tokens whose logits exist at a time; 0 is as many as fit 128 MiB

    def problems(self) -> list[Problem]:
        negative = [Problem("stage.loss_chunk_size", "cannot be negative", "0 chooses a size")]
        return super().problems() + (negative if self.loss_chunk_size < 0 else [])


def _chat(row: Row, answer: Sequence[Message]) -> Row:
    """A conversation of which only the answer is trained."""
    prompt = [{**message, "weight": 0} for message in row["prompt"]]
    return {"messages": [*prompt, *answer], "tools": row.get("tools")}


def _is_trained(sequence: Mapping[str, Sequence[int]]) -> bool:
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
