"""An evaluator: the model answers, and its answers are compared with the expected ones."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import Row, Sampling
from tunesmith_library_evaluating import Evaluation, EvaluationData, Measured

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat


@plugin
class Placeholder:
    """The share of conversations in which the model's answer has the last one of the data in it."""

    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 64  # of an answer
    ignore_case: bool = True  # whether Sea and sea are the same

    @hookimpl
    def evaluate(self, chat: "Chat", data: EvaluationData) -> Evaluation:
        sets = {name: rows for name, rows in data.rows().items() if rows}
        if not sets:
            raise DataError("placeholder: there is no evaluation data; write data.eval=[test.json]")
        metrics, records = {}, []
        for name, rows in sets.items():
            found = [
                {"dataset": name, "index": index, **self._record(row, answer)}
                for index, (row, answer) in enumerate(zip(rows, self._answers(chat, rows), strict=True))
            ]
            metrics[name] = {"contains": share([record["contains"] for record in found])}
            records += found
        return Evaluation(metrics, records, {"max_new_tokens": self.max_new_tokens, "temperature": 0.0})

    def _answers(self, chat: "Chat", rows: Sequence[Row]) -> list[str]:
        answers = [""] * len(rows)
        greedy = Sampling(max_new_tokens=self.max_new_tokens, temperature=0.0)
        for piece in chat.answer([row["messages"][:-1] for row in rows], greedy):
            answers[piece.index] += piece.text
        return answers

    def _record(self, row: Row, answer: str) -> dict[str, Any]:
        expected = row["messages"][-1]["content"]
        pair = (expected.lower(), answer.lower()) if self.ignore_case else (expected, answer)
        return {"expected": expected, "answer": answer, "contains": float(pair[0] in pair[1])}


def share(hits: Sequence[float]) -> Measured:
    """The mean of numbers that are 0 or 1, with its standard error."""
    mean, count = sum(hits) / len(hits), len(hits)
    error = math.sqrt(mean * (1 - mean) / (count - 1)) if count > 1 else None
    return Measured(mean, error, count)
