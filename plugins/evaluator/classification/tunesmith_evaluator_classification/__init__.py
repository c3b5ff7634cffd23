"""Classification by a language model: which label an answer names, or which one is the likeliest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled
from tunesmith.traits import EvaluatorTraits
from tunesmith.types import Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate

_KEY = "evaluator.classification"
_MEANS = ("accuracy", "micro_f1", "macro_f1", "weighted_f1")
_METRICS = {**dict.fromkeys(_MEANS, True), **dict.fromkeys(("unlabelled", "unfinished", "truncated"), False)}


@plugin
class Classification(Asking):
    """Accuracy, F1, precision and recall of labels, by class and together; answers that are no label are counted."""

    labels: list[Annotated[str, filled]] = []  # what an answer may be; none: all that is expected somewhere
    column: Annotated[str, filled] | None = None  # of the row, with the expected label; null is its expected answer
    extract: Annotated[str, filled] | None = None  # regular expression whose first group is the label; the last match
    # named: an answer has the label that it names, if it names one alone; exact: the whole answer is the label
    match: Literal["named", "exact"] = "named"
    # generate: what the model answers; likelihood: the label that it holds the likeliest, without a thought
    through: Literal["generate", "likelihood"] = "generate"

    @property
    def traits(self) -> EvaluatorTraits:
        """All metrics where the labels are given; they have one for each."""
        of_class = [f"{name}_{label}" for name in ("f1", "precision", "recall") for label in self.labels]
        known = {**_METRICS, **dict.fromkeys(of_class, True)} if self.labels else {}
        return EvaluatorTraits(metrics={f"classification_{name}": greater for name, greater in known.items()})

    @property
    def tokens_of_answer(self) -> int:
        return super().tokens_of_answer if self.through == "generate" else 0

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_evaluating.estimating import with_scoring

        return estimate if self.tokens_of_answer else with_scoring(estimate)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .labels import normal

        problems = []
        try:
            re.compile(self.extract or "")
        except re.error as error:
            advice = r"for example: <label>(.*?)</label>"
            problems.append(Problem(f"{_KEY}.extract", f"is no regular expression: {error}.", advice))
        known: dict[str, str] = {}
        for label in self.labels:
            if not normal(label):
                problems.append(Problem(f"{_KEY}.labels", f"{label!r} has no letter or digit.", "name it otherwise"))
            elif other := known.get(normal(label)):
                message = (
                    f"{other!r} and {label!r} are the same label: case, spaces and punctuation around do not count."
                )
                problems.append(Problem(f"{_KEY}.labels", message, "leave one out"))
            known[normal(label)] = label
        return problems

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when no row has an expected label."""
        from tunesmith_library_evaluating.answering import cut_short

        from .counting import confusion, measured
        from .reading import Reading

        reading = Reading(self, chat, data)
        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        tables: dict[str, Any] = {}
        for name, found in reading.found().items():
            metrics[name] = measured([(it.expected, it.label) for it in found])
            answers = [it.answer for it in found if it.answer is not None]
            metrics[name] |= cut_short(answers) if answers else {}
            tables[name] = confusion([(it.expected, it.label) for it in found])
            records += [it.record() for it in found]
        chosen = {"labels": reading.labels.names, "through": self.through, "match": self.match}
        shown = {**self.settings(chat), **chosen, "extract": self.extract, "column": self.column}
        return Evaluation(metrics, records, shown, tables={"confusion": tables})
