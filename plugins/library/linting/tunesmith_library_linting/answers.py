"""Answers that were cut off, as by a limit of tokens of the program that made them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from tunesmith.types import Row

from .findings import RowCheck, Severity
from .texts import answers

_LONG = 80  # characters of a last line that is a sentence, and no heading, name or number
_WORDS = {
    "en": "and or but because if when while with of to in for from by the a an is are was were which who than as at on",
    "de": "und oder aber weil mit der die das ein eine zu von",
    "fr": "et ou mais parce avec le la les un une de des du",
    "es": "y o pero porque con el los las una",
}
_UNFINISHED = frozenset(word for words in _WORDS.values() for word in words.split())
_OPENING, _CLOSING = "([{（【「《", ")]}）】」》"
_NO_WORD = re.compile(r"[#@]|\S*://")  # a tag, a name or an address, behind which nobody writes a full stop
_WORD = re.compile(r"[^\W\d_]+$")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")


class CutOff(RowCheck):
    """Answers that stop in the middle of a sentence, a block of code, a thought or JSON."""

    name: ClassVar[str] = "cut_off"
    says: ClassVar[str] = "an answer stops in the middle"

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        if "text" in row:  # passages of texts begin and end anywhere
            return
        for answer in answers(row)[-1:] if "messages" in row else answers(row):
            fault = cut(answer)
            if fault:
                yield "warning", fault


def cut(answer: str) -> str:
    """How one sees that an answer is cut off; "" where one does not."""
    text = answer.rstrip()
    lines = [line for line in text.splitlines() if line.lstrip().startswith("```")]
    if len(lines) % 2:
        return "the answer ends inside of a block of code"
    for opening, closing in (("<think>", "</think>"), ("<thinking>", "</thinking>")):
        if text.count(opening) > text.count(closing):
            return "the answer ends inside of a thought"
    if text[:1] in ("{", "[") and len(text) > 1 and not lines and _is_open(text):
        return "the answer ends inside of JSON"
    last = text.splitlines()[-1].strip() if text else ""
    if text.endswith(","):
        return f"the answer ends with a comma: {_end(last)}"
    word = _WORD.search(last)
    if word and len(last) >= _LONG // 2 and word[0] in _UNFINISHED:
        return f"the answer ends with {word[0]!r}: {_end(last)}"
    if len(last) >= _LONG and _LATIN.match(last[-1]) and " " in last and not _NO_WORD.match(last.split()[-1]):
        return f"the answer ends without a full stop: {_end(last)}"
    return ""


def _is_open(text: str) -> bool:
    """Whether brackets that a text begins with are never closed, and it looks like JSON."""
    if not re.match(r'[\[{]\s*["\[{\d]', text):
        return False
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    return outside.count(text[0]) > outside.count(_CLOSING[_OPENING.index(text[0])])


def _end(line: str) -> str:
    return line if len(line) <= 50 else f"…{line[-49:]}"
