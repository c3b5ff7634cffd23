"""Rules of a grammar in llguidance's Lark, and the parts that grammars of answers have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from tunesmith_library_chat.writing import ID, NUMBER

ANYTHING = r"/(?s:.*)/"
_THOUGHT = f"{ANYTHING} // a thought"
_UNLIMITED = "[max_tokens=1000000]"
_MOST_CHARACTERS = 20_000  # that are counted quickly
_SHORT = 1_024  # tokens of an answer of which a model that has learned nothing may need four for two characters
_PLACEHOLDERS = {NUMBER: "/[0-9]{1,3}/", ID: "/[A-Za-z0-9]{9}/"}


class Rules:
    """Rules, each under a name of its own.

    Args:
        special: the tokens that no text has, by what they are written like; a grammar names them by id.
    """

    def __init__(self, special: Mapping[str, int]) -> None:
        self._special = special
        marks = sorted([*filter(None, special), *_PLACEHOLDERS], key=len, reverse=True)
        self._marks = re.compile("(" + "|".join(map(re.escape, marks)) + ")")
        self._lines: list[str] = []

    def add(self, body: str, *, options: str = "") -> str:
        """Add a rule, and give its name."""
        name = f"rule_{len(self._lines)}"
        self._lines.append(f"{name}{options}: {body}")
        return name

    def reserve(self) -> str:
        """The name of a rule that comes later, with `fill`."""
        self._lines.append("")
        return f"rule_{len(self._lines) - 1}"

    def fill(self, name: str, body: str) -> None:
        self._lines[int(name.removeprefix("rule_"))] = f"{name}: {body}"

    def terminal(self, body: str) -> str:
        """Add what is matched as a regular expression."""
        name = f"TEXT_{len(self._lines)}"
        self._lines.append(f"{name}: {body}")
        return name

    def text(self, text: str) -> str:
        """A text as it stands, in which special tokens are those tokens."""
        parts = [self._part(part) for part in self._marks.split(text) if part]
        return " ".join(parts) if parts else '""'

    def until(self, body: str, close: str) -> str:
        """Text, and the first place at which a mark ends it.

        Args:
            body: of a terminal.
        """
        first = next((part for part in self._marks.split(close) if part), "")
        rest = close[len(first) :]
        if first in self._special or not first:
            return f"{self.add(body)} {self.text(close)}"
        closed = self.add(body, options=f"[suffix={quoted(first)}]")
        return f"{closed} {self.text(rest)}" if rest else closed

    def thought(self, close: str) -> str:
        """A thought and the mark that ends it; `bounded` says how long it may be."""
        if close in self._special:
            return f"{self.add(self.terminal(ANYTHING), options=_UNLIMITED)} {self.text(close)}"
        return self.until(self.terminal(_THOUGHT), close)

    def grammar(self, start: str) -> str:
        return "\n".join([f"start: {start}", *self._lines, ""])

    def _part(self, part: str) -> str:
        if part in _PLACEHOLDERS:
            return _PLACEHOLDERS[part]
        return f"<[{self._special[part]}]>" if part in self._special else quoted(part)


def bounded(grammar: str, answer_tokens: int) -> str:
    """A grammar whose thought leaves room for what is asked for.

    Where its end is a special token it takes half of the answer's tokens at most. Elsewhere characters are counted: two
    for each token of the answer, in short answers a quarter of one.
    """
    most = answer_tokens // 4 if answer_tokens < _SHORT else min(2 * answer_tokens, _MOST_CHARACTERS)
    limited = grammar.replace(_UNLIMITED, f"[max_tokens={max(1, answer_tokens // 2)}]")
    return limited.replace(_THOUGHT, ANYTHING.replace("*", f"{{0,{most}}}"))


def quoted(text: str) -> str:
    """A text as a grammar writes it."""
    return json.dumps(text, ensure_ascii=False)


def without(mark: str) -> str:
    """What a terminal is cut with that does not hold a mark; everything, without a mark."""
    return rf" & ~/(?s:.*){escaped(mark)}(?s:.*)/" if mark else ""


def escaped(text: str) -> str:
    """A text as a regular expression in a grammar."""
    return re.escape(text).replace("/", r"\/").replace("\n", r"\n").replace(r"\ ", " ")
