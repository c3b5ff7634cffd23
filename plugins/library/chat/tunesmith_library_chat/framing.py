"""What a template writes around what the assistant says, which is no text: `<response>` and `</response>`, the end of a
thought that there is not, a line break before the end of the turn. It is read off what the template writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError

from tunesmith_library_chat.samples import as_key, sample
from tunesmith_library_chat.thoughts import Thinking

_SAID, _THOUGHT = "this\ufddf", "why\ufdde"


@dataclass(frozen=True)
class Frame:
    """Between what an answer stands."""

    heads: tuple[str, ...] = ()  # any of these may stand before it, behind the prompt or a thought; the longest first
    tail: str = ""  # this may stand behind it

    @property
    def mark(self) -> str:
        """The tail without white space; "" where it is but white space, or a word that may be said."""
        return _bare_mark(self.tail)


NO_FRAME = Frame()


def frame_of(jinja: str, variables: Mapping[str, Any], thinking: Thinking | None, stop: Sequence[str]) -> Frame:
    """Between what the answers of a template stand.

    Args:
        variables: of the Jinja.
        stop: strings that end the assistant's turn.
    """
    return _frame(jinja, as_key(variables), thinking, tuple(stop))


def find_stop(jinja: str, variables: Mapping[str, Any]) -> str | None:
    """The string with which a template ends the assistant's turn, such as `<|im_end|>`; None when it writes none."""
    try:
        text = sample(jinja, as_key({**variables, "training": True}), _answer())
    except DataError:
        return None
    behind = text.rpartition(_SAID)[2].strip() if text else ""
    return behind.splitlines()[0].rstrip() if behind else None


@functools.lru_cache(maxsize=512)
def _frame(jinja: str, variables: str, thinking: Thinking | None, stop: tuple[str, ...]) -> Frame:
    learnt = as_key({**json.loads(variables), "training": True})
    asked, heads, tail = sample(jinja, variables, "null"), set[str](), ""
    for more in ({}, {"reasoning": _THOUGHT}):
        text = sample(jinja, learnt, _answer(**more))
        before, said, behind = (text or "").partition(_SAID)
        if not said:
            continue
        ends = [place for end in stop if (place := behind.find(end)) >= 0]
        tail = behind[: min(ends)] if ends else tail
        if _THOUGHT in before:
            heads |= _heads(before.rpartition(_THOUGHT)[2], thinking)
        elif not more and asked is not None and before.startswith(asked):
            heads |= _heads(before[len(asked) :], thinking)
    return Frame(tuple(sorted(heads, key=lambda head: (-len(head), head))), tail)


def _answer(**more: str) -> str:
    return json.dumps({"role": "assistant", "content": _SAID, **more})


def _heads(text: str, thinking: Thinking | None) -> set[str]:
    """What of a text before an answer is no white space and no end of a thought, as it stands and without space."""
    for close in ((thinking.close,) if thinking else ()) + (Thinking.close,):
        text = text.rpartition(close.strip())[2]
    return {text.lstrip(), _bare_mark(text)} - {""}


def _bare_mark(text: str) -> str:
    """A mark without white space around it; "" where it might be a word."""
    mark = text.strip()
    return mark if mark and not (mark[0].isalnum() or mark[-1].isalnum()) else ""
