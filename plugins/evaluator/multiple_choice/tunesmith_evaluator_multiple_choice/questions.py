"""A question with choices, read from a record in any of the shapes that sets of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from tunesmith import DataError

LETTERS = ascii_uppercase
_CHOICES = ("choices", "options")
_ANSWERS = ("answer", "answerKey", "answer_key", "answer_index", "label", "target")


@dataclass(frozen=True)
class Question:
    """One question; its place among those of its part is its place in a list."""

    text: str
    choices: tuple[str, ...]  # two to 26
    answer: int | None  # the place of the right one; None where the set keeps it secret
    subject: str = ""

    @property
    def letters(self) -> str:
        """A letter for each choice."""
        return LETTERS[: len(self.choices)]

    @property
    def letter(self) -> str:
        """That of the right choice; empty where it is not known."""
        return "" if self.answer is None else LETTERS[self.answer]


def question_of(record: Mapping[str, Any], subject: str = "") -> Question:
    """Read a record: `question`; `choices` or `options`, as a list, by letter or as `text` with `label`, or columns A,
    B, …; `answer` as a letter, a place counted from 0, or the text of a choice.

    Args:
        subject: of records that have no column `subject` of their own.

    Raises: DataError for a record of another shape.
    """
    columns = {name.strip().lower(): value for name, value in record.items() if isinstance(name, str)}
    text = columns.get("question", columns.get("query"))
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"it has no question, but {_named(record)}")
    choices, labels = _choices_of(columns)
    if not 2 <= len(choices) <= len(LETTERS):
        raise DataError(f"it has {len(choices)} choices in {_named(record)}; write `choices`, or columns A, B, …")
    answer = _answer_of(columns, choices, labels)
    return Question(text, tuple(choices), answer, str(columns.get("subject") or subject))


def _named(record: Mapping[str, Any]) -> str:
    return ", ".join(map(str, record)) or "nothing"


def _choices_of(columns: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The texts of the choices, and what they are called beside letters."""
    found = next((columns[name] for name in _CHOICES if columns.get(name) is not None), None)
    if found is None:
        letters = [letter for letter in LETTERS if _is_said(columns.get(letter.lower()))]
        texts = [_said(columns[letter.lower()]) for letter in letters if letter in LETTERS[: len(letters)]]
        return texts, []
    if isinstance(found, Mapping) and "text" in found:
        return [_said(text) for text in found["text"]], [_said(label) for label in found.get("label", ())]
    if isinstance(found, Mapping):
        kept = {str(key): _said(text) for key, text in found.items() if _is_said(text)}
        return list(kept.values()), list(kept)
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [_said(text) for text in found], []
    return [], []


def _is_said(value: Any) -> bool:
    return value is not None and value != ""


def _said(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _answer_of(columns: Mapping[str, Any], choices: Sequence[str], labels: Sequence[str]) -> int | None:
    given = next((columns[name.lower()] for name in _ANSWERS if _is_said(columns.get(name.lower()))), None)
    if given is None:
        return None
    place = _place(given, choices, labels)
    if place is None:
        raise DataError(
            f"its answer {given!r:.60} is none of {len(choices)} choices: a letter, a place from 0, or a text"
        )
    return place


def _place(given: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        place = int(given)
        return place if place == given and 0 <= place < len(choices) else None
    text = _said(given).strip()
    if text in labels:
        return list(labels).index(text)
    letter = text.strip("().").upper()
    if len(letter) == 1 and letter in LETTERS[: len(choices)]:
        return LETTERS.index(letter)
    stripped = [choice.strip() for choice in choices]
    if text in stripped:
        return stripped.index(text)
    return int(text) if text.isdecimal() and int(text) < len(choices) else None
