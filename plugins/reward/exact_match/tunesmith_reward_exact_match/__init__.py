"""Answers that are the expected text, both normalised. The measure of SQuAD (arXiv 1606.05250, section 6.1)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from tunesmith import DataError, hookimpl, plugin
from tunesmith.ranges import between, filled
from tunesmith.types import Problem


@plugin
class ExactMatch:
    """1 for an answer that is the expected text, else 0.

    What is expected stands in a column of the row, as a text, or as a list of texts any of which will do.
    """

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    column: Annotated[str, filled] = "answer"  # of the row, with what is expected
    extract: str | None = None  # regular expression whose first group is the answer proper; its last match counts
    ignore_case: bool = True  # "Paris" is "paris"
    ignore_space: bool = True  # white space around the answer, and how much of it stands inside, do not matter
    ignore_punctuation: bool = False  # leave out all punctuation before comparing

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        try:
            re.compile(self.extract or "")
        except re.error as error:
            advice = r"for example: <answer>(.*?)</answer>"
            return [Problem("reward.exact_match.extract", f"is no regular expression: {error}.", advice)]
        return []

    @hookimpl
    def score(self, completions: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[float]:
        return [
            float(self._normal(self._said(answer)) in map(self._normal, self._expected(row)))
            for answer, row in zip(completions, rows, strict=True)
        ]

    def _expected(self, row: Mapping[str, Any]) -> list[str]:
        value = row.get(self.column)
        if value is None:
            found = ", ".join(sorted(row)) or "no columns"
            raise DataError(
                f"reward.exact_match: a row has no {self.column}; it has {found}.\n"
                f"  keep the file's column: data.train=[{{path: FILE, keep: [{self.column}]}}], or set .column"
            )
        expected = ["" if item is None else str(item) for item in (value if isinstance(value, list) else [value])]
        if not expected or not all(map(self._normal, expected)):
            raise DataError(
                f"reward.exact_match: nothing is expected in {self.column} of a row: {ascii(value)[:80]}\n"
                "  an answer in which nothing is found would be right; mend or leave out the row"
            )
        return expected

    def _said(self, answer: str) -> str:
        if self.extract is None:
            return answer
        found = list(re.finditer(self.extract, answer, re.DOTALL))
        if not found:
            return ""
        return found[-1][1 if found[-1].re.groups else 0] or ""

    def _normal(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", text)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = "".join(letter for letter in text if not unicodedata.category(letter).startswith("P"))
        return " ".join(text.split()) if self.ignore_space else text
