"""Answers of a certain form, whatever they say: DeepSeek-R1's format reward (arXiv 2501.12948, section 2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import between
from tunesmith.types import Problem

THINKING = r"<think>(?:(?!</?think>).)*</think>\s*<answer>(?:(?!</?answer>).)*</answer>"


@plugin
class Format:
    """1 for an answer that a regular expression matches, else 0."""

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    # regular expression (Python's; a dot also matches the end of a line); null: <think>…</think><answer>…</answer>
    pattern: str | None = None
    whole: bool = True  # the whole answer must match, without the white space around it; false: some part of it

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            advice = r"for example: <think>.*</think>.*"
            return [Problem("reward.format.pattern", f"is no regular expression: {error}.", advice)]
        return []

    @hookimpl
    def score(self, completions: Sequence[str]) -> list[float]:
        pattern = re.compile(THINKING if self.pattern is None else self.pattern, re.DOTALL)
        match = pattern.fullmatch if self.whole else pattern.search
        return [float(match(answer.strip()) is not None) for answer in completions]
