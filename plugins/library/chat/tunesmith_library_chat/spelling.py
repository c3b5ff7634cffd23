"""Special tokens that a conversation spells out: they stay text, so that nobody forges a turn by writing its marks.

A template writes control tokens and the conversation's text into one string, in which both look alike. So before it is
rendered, a mark is put inside whatever the conversation spells of a control token; afterwards the marks are taken out,
and where they stood is text. Templates can go on looking at, cutting and trimming what they write.
"""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Ranges = tuple[tuple[int, int], ...]
"""Characters of a text, ends exclusive, in ascending order."""


class Control:
    """Strings that are control tokens, as they are looked for in texts."""

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self.tokens = tuple(sorted(set(tokens) - {""}))
        longest_first = sorted(self.tokens, key=len, reverse=True)
        self.firsts = tuple({token[0] for token in self.tokens})
        self.anywhere = re.compile("(?:" + "|".join(map(re.escape, longest_first)) + ")")
        self.beginnings = frozenset(token[:length] for token in self.tokens for length in range(1, len(token)))
        self.longest = max(map(len, self.tokens), default=0)

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Control) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)


NOTHING = Control()


def spells(value: Any, control: Control) -> bool:
    """Whether a text anywhere in a value, keys included, holds a control token, or ends with the beginning of one."""
    return bool(control) and any(_spells(text, control) for text in _suspect(value, control))


def spelt(text: str, control: Control) -> Ranges:
    """Where a text holds control tokens."""
    found = control.anywhere.finditer(text) if any(first in text for first in control.firsts) else ()
    return tuple(match.span() for match in found)


def first_spelt(value: Any, control: Control) -> str | None:
    """A control token that a text anywhere in a value holds."""
    found = (control.anywhere.search(text) for text in _suspect(value, control))
    return next((match[0] for match in found if match), None) if control else None


def free_mark(value: Any) -> str:
    """A string that stands in no text of a value, and in none as JSON escapes it."""
    texts = _texts(value)
    marks = (f"\ufdef{number}." if number else "\ufdef" for number in itertools.count())
    return next(mark for mark in marks if not any(form in text for text in texts for form in _forms(mark)))


def marked(value: Any, mark: str, control: Control) -> Any:
    """A copy of a value in whose texts a mark stands behind the first character of each control token."""
    if isinstance(value, str):
        return _marked_text(value, mark, control) if _spells(value, control) else value
    if isinstance(value, Mapping):
        return {marked(key, mark, control): marked(item, mark, control) for key, item in value.items()}
    return [marked(item, mark, control) for item in value] if isinstance(value, list | tuple) else value


class Unmarked:
    """A rendering without its marks.

    Args:
        text: with them.
    """

    def __init__(self, text: str, mark: str, control: Control) -> None:
        found = list(re.finditer("|".join(map(re.escape, _forms(mark))), text))
        self._starts = [match.start() for match in found]
        self._removed = [0, *itertools.accumulate(len(match[0]) for match in found)]
        bounds = itertools.pairwise([0, *(place for match in found for place in match.span()), len(text)])
        self.text = "".join(text[start:end] for start, end in itertools.islice(bounds, 0, None, 2))
        # the mark stands behind the first character of what was spelt
        matches = (control.anywhere.match(self.text, self.place(start) - 1) for start in self._starts)
        self.literal: Ranges = tuple(dict.fromkeys(match.span() for match in matches if match))

    def place(self, marked: int) -> int:
        """Where a character of the text with marks is in the one without."""
        before = bisect.bisect_left(self._starts, marked)
        return marked - self._removed[before]


def find_tokens(text: str, control: Control, literal: Ranges) -> Iterator[re.Match[str]]:
    """The control tokens of a text that were not spelt by the conversation."""
    spelt = list(literal)
    for match in control.anywhere.finditer(text):
        index = bisect.bisect_right(spelt, (match.start(), len(text)))
        if not index or spelt[index - 1][1] <= match.start():
            yield match


def _texts(value: Any) -> list[str]:
    """All texts in a value, keys included."""
    found, waiting = [], [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)  # looked at first, for every row comes here
        if kind is str:
            found.append(item)
        elif kind is dict:
            waiting += item
            waiting += item.values()
        elif kind is list or isinstance(item, (list, tuple)):
            waiting += item
        elif isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            waiting += item
            waiting += item.values()
    return found


def _suspect(value: Any, control: Control) -> list[str]:
    """The texts that hold the first character of a token: most conversations have none."""
    firsts = control.firsts
    if len(firsts) == 1:
        return [text for text in _texts(value) if firsts[0] in text]
    return [text for text in _texts(value) if any(first in text for first in firsts)]


def _spells(text: str, control: Control) -> bool:
    return control.anywhere.search(text) is not None or bool(_cut_off(text, control))


def _marked_text(text: str, mark: str, control: Control) -> str:
    starts = {match.start() for match in re.finditer(f"(?={control.anywhere.pattern})", text)}
    places = [0, *(start + 1 for start in sorted(starts.union(_cut_off(text, control)))), len(text)]
    return mark.join(text[start:end] for start, end in itertools.pairwise(places))


def _cut_off(text: str, control: Control) -> list[int]:
    """Where a text has the beginning of a token at its end, which the next part of a content may complete."""
    said = text.rstrip()
    lengths = range(1, min(len(said), control.longest - 1) + 1)
    return [len(said) - length for length in lengths if said[-length:] in control.beginnings]


def _forms(mark: str) -> Sequence[str]:
    return (mark, json.dumps(mark)[1:-1])
