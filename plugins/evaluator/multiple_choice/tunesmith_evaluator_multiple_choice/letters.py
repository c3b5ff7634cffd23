"""Which choice an answer in words names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunesmith_evaluator_multiple_choice.questions import LETTERS

_STATED = (  # what follows is the answer; the last such place counts, for a text may weigh choices first
    r"\\boxed\{\s*(?:\\(?:text|mathrm|mathbf)\{)?\s*\(?([{letters}])\)?\s*\}",
    r"(?:answer|choice|option)(?:\s+(?:is|would\s+be|should\s+be))?\s*[:：]?\s*[*_`\"']*[\(\[]?([{letters}])(?![A-Za-z'])",
    r"(?:答案|选项|选择|应选|故选|选)(?:是|为|应为|应该是)?\s*[:：]?\s*[*_`\"'“]*[（\(\[]?([{letters}])(?![A-Za-z])",
)
_FIRST = r"^[\s*_`\"'“]*[（\(\[]?([{letters}])(?:[\]）\)\.。,，:：、;；*_`\"'”]|\s*$|\s*\n)"
_ALONE = r"(?<![A-Za-z])([{letters}])(?![A-Za-z'])"


def letter_in(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the choice that an answer names; None where it names none, or several.

    In this order: what is stated to be the answer (the answer is C, 答案：C, \\boxed{C}); a letter that begins what is
    said; the whole text of one choice; the one letter that stands in it alone.

    Args:
        text: what was said, without thoughts.
        choices: their texts.
    """
    letters = LETTERS[: len(choices)]
    stated = [match for pattern in _STATED for match in re.finditer(_with(pattern, letters), text, re.IGNORECASE)]
    stated = [match for match in stated if match[1].isupper() or match[1] != "a"]  # "the answer is a matter of …"
    if stated:
        return max(stated, key=lambda match: match.start(1))[1].upper()
    first = re.match(_with(_FIRST, letters), text)
    if first:
        return first[1]
    said = text.strip().strip(".。").casefold()
    same = [letter for letter, choice in zip(letters, choices, strict=True) if choice.strip(" .。").casefold() == said]
    if said and len(same) == 1:
        return same[0]
    alone = {match[1] for match in re.finditer(_with(_ALONE, letters), text) if not _is_article(text, match)}
    return alone.pop() if len(alone) == 1 else None


def _with(pattern: str, letters: str) -> str:
    return pattern.replace("{letters}", letters)


def _is_article(text: str, match: re.Match[str]) -> bool:
    """Whether an A is the word that stands before others."""
    return match[1] == "A" and re.match(r"\s+(?!(?:or|and|is)\b)[a-z]", text[match.end() :]) is not None
