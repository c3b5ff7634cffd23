"""An evaluator: the model answers, and its answers are compared with the expected ones."""

from typing import TYPE_CHECKING

from tunesmith import hookimpl, plugin
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat


@plugin
class Placeholder(Asking):
    """The share of conversations in which the model's answer has the last one of the data in it."""

    ignore_case: bool = True  # whether Sea and sea are the same

    @hookimpl
    def evaluate(self, chat: "Chat", data: EvaluationData) -> Evaluation:
        from tunesmith_library_evaluating.answering import cut_short
        from tunesmith_library_evaluating.replies import replies
        from tunesmith_library_evaluating.statistics import mean

        metrics, records = {}, []
        for name, found in replies(chat, data, self, "placeholder").items():
            hits = [self.contains(str(reply.prompt.answer), reply.answer.text) for reply in found]
            metrics[name] = {"contains": mean(hits), **cut_short([reply.answer for reply in found])}
            records += [reply.record(contains=hit) for reply, hit in zip(found, hits, strict=True)]
        return Evaluation(metrics, records, {**self.settings(chat), "ignore_case": self.ignore_case})

    def contains(self, expected: str, answer: str) -> float:
        """1.0 where the answer has the expected text in it, else 0.0."""
        pair = (expected.lower(), answer.lower()) if self.ignore_case else (expected, answer)
        return float(pair[0] in pair[1])
