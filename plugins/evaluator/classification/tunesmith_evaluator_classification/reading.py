"""Which label each example is to have, and which one the model gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith.messages import announce
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_evaluating.answering import Answered, explained
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_evaluating.replies import Asked, asked_of, replies

from tunesmith_evaluator_classification.labels import Labels, extracted, normal

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_classification import Classification

_EVALUATOR = "classification"


@dataclass(frozen=True)
class Labelled:
    """An example with its labels."""

    index: int  # in its data set
    prompt: Prompt
    expected: str
    label: str | None  # the model's; None where its answer is no label
    answer: Answered | None = None  # what it said, where it was asked
    log_probs: dict[str, float] | None = None  # of each label, where these were compared

    def record(self) -> dict[str, Any]:
        """What is told of it."""
        numbers = {"accuracy": float(self.label == self.expected), "unlabelled": float(self.label is None)}
        told = {"dataset": self.prompt.dataset, "index": self.index, **numbers}
        told |= {"expected_label": self.expected, "label": self.label}
        if self.answer is not None:
            return {**told, **explained(self.prompt, self.answer)}
        return {**told, "prompt": self.prompt.messages, "answer": self.expected, "log_probs": self.log_probs}


class Reading:
    """The examples of a task, labelled.

    Raises: DataError when no row has an expected label.
    """

    def __init__(self, options: Classification, chat: Chat, data: EvaluationData) -> None:
        self._options, self._chat, self._data = options, chat, data
        exact = options.match == "exact"
        self.labels = Labels(options.labels or self._collected(), exact=exact, extract=options.extract)

    def found(self) -> dict[str, list[Labelled]]:
        """The examples by data set."""
        if self._options.through == "likelihood":
            return self._likeliest()
        return {
            name: [
                Labelled(it.index, it.prompt, self._expected(it.prompt), self.labels.read(it.answer.text), it.answer)
                for it in some
            ]
            for name, some in replies(self._chat, self._data, self._options, _EVALUATOR, self._lacks).items()
        }

    def _likeliest(self) -> dict[str, list[Labelled]]:
        from tunesmith_evaluator_classification.likelihood import log_probs

        found = {}
        for name, asked in asked_of(self._data, self._options, _EVALUATOR, self._lacks).items():
            told = log_probs(self._chat, self._options, [it.prompt for it in asked], self.labels.names)
            found[name] = [self._by_likelihood(it, values) for it, values in zip(asked, told, strict=True)]
        return found

    def _by_likelihood(self, asked: Asked, values: Sequence[float]) -> Labelled:
        of_label = dict(zip(self.labels.names, values, strict=True))
        label = max(of_label, key=lambda name: of_label[name])
        return Labelled(asked.index, asked.prompt, self._expected(asked.prompt), label, log_probs=of_label)

    def _collected(self) -> list[str]:
        """All labels that are expected, of which the first spelling is kept."""
        known = dict[str, str]()
        for asked in asked_of(self._data, self._options, _EVALUATOR, lambda it: _without(self._told(it))).values():
            for it in asked:
                told = self._told(it.prompt)
                known.setdefault(normal(told), told)
        labels = sorted(known.values())
        announce(
            "labels", ", ".join(labels[:20]) + (f" … ({len(labels)})" if len(labels) > 20 else ""), "from the data"
        )
        return labels

    def _told(self, prompt: Prompt) -> str:
        """What the row says of the expected label."""
        column = self._options.column
        told = prompt.answer if column is None else prompt.columns.get(column)
        text = "" if told is None else str(told)
        return (extracted(text, self._options.extract) or text).strip()

    def _lacks(self, prompt: Prompt) -> str | None:
        told = self._told(prompt)
        if why := _without(told):
            return why
        if self._options.through == "likelihood" and prompt.media:
            return "show images, videos or sounds, beside which an engine gives no likelihoods"
        return None if self.labels.known(told) else "expect none of the labels"

    def _expected(self, prompt: Prompt) -> str:
        return str(self.labels.known(self._told(prompt)))


def _without(told: str) -> str | None:
    return None if normal(told) else "have no expected label"
