"""How a question is put: LLaMA-Factory's words in English and Chinese, which are those of MMLU and of C-Eval, and the
plain ones that lm-evaluation-harness has for sets such as ARC, which list no choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunesmith_evaluator_multiple_choice.questions import Question


@dataclass(frozen=True)
class Wording:
    """The words of a prompt; `separator` stands between it and the answer where both are plain text."""

    before: str  # what comes first, of {subject}
    question: str  # {question}
    choice: str  # {letter}, {text}; empty: they are not listed
    answer: str
    separator: str = " "

    def asked(self, question: Question) -> str:
        """A question up to its answer."""
        listed = zip(question.letters, question.choices, strict=True)
        choices = (
            "".join(self.choice.format(letter=letter, text=text) for letter, text in listed) if self.choice else ""
        )
        return self.question.format(question=question.text) + choices + self.answer

    def messages(self, question: Question, shown: Sequence[tuple[Question, str]], subject: str) -> list[dict[str, Any]]:
        """The turns that ask, after those of examples.

        Args:
            shown: examples, each with its answer as it is to be written.
            subject: empty says nothing of one.
        """
        turns: list[dict[str, Any]] = []
        for example, answer in shown:
            turns += [{"role": "user", "content": self.asked(example)}, {"role": "assistant", "content": answer}]
        turns.append({"role": "user", "content": self.asked(question)})
        turns[0]["content"] = self._of(subject) + turns[0]["content"]
        return turns

    def text(self, question: Question, shown: Sequence[tuple[Question, str]], subject: str) -> str:
        """The same as plain text, up to the answer."""
        examples = "".join(f"{self.asked(example)}{self.separator}{answer}\n\n" for example, answer in shown)
        return self._of(subject) + examples + self.asked(question)

    def _of(self, subject: str) -> str:
        return self.before.format(subject=subject) if subject else ""


Words = Literal["en", "zh", "plain"]

WORDINGS: dict[Words, Wording] = {
    "en": Wording(
        "The following are multiple choice questions (with answers) about {subject}.\n\n",
        "{question}",
        "\n{letter}. {text}",
        "\nAnswer:",
    ),
    "zh": Wording(
        "以下是中国关于{subject}考试的单项选择题，请选出其中的正确答案。\n\n",
        "{question}",
        "\n{letter}. {text}",
        "\n答案：",
        "",
    ),
    "plain": Wording("", "Question: {question}", "", "\nAnswer:"),
}
