"""What a template writes between the prompt and an answer: the beginning of its text, or of its calls, and before them,
where the model thinks, a thought. It is read off what its Jinja makes of small conversations."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError

from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_chat.rules import Rules
from tunesmith_library_chat.samples import filled
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_chat.writing import Writing, probed, writing_of

_SAID, _THOUGHT = "this\ufddf", "why\ufdde"
_FIRST = ("toolqa", {"keyqa": "worthqa"})


@dataclass(frozen=True)
class Source:
    """A template, as far as answers are concerned."""

    jinja: str
    variables: str  # of the Jinja, as JSON
    stop: tuple[str, ...]
    thinking: Thinking | None
    marks: tuple[str, ...]  # special tokens
    begun: bool  # whether the prompt ends within a thought

    def write(self, message: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] = ()) -> str | None:
        """What is written of an answer behind its prompt; None where it is not possible."""
        asked = {"role": "user", "content": "1"}
        prompt = self._fill([asked], tools, add_generation_prompt=True)
        whole = self._fill([asked, {"role": "assistant", **message}], tools, training=True)
        if prompt is None or whole is None:
            return None
        if whole.startswith(prompt):
            return whole[len(prompt) :]
        # The prompt begins what is not written of an answer without a thought, such as the thought itself.
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(whole, prompt, strict=False))
        common = re.sub(r"<[^>\n]*$", "", "".join(first for first, _ in same))
        return whole[len(common) :].lstrip()

    def calls(self, calls: Sequence[tuple[str, Mapping[str, Any]]], **more: str) -> str | None:
        """What is written of an answer with calls, up to the end of the turn."""
        tools, made = probed(calls)
        text = self.write({"content": "", "tool_calls": made, **more}, tools)
        if text is None:
            return None
        words = [name for name, _ in calls] + [
            str(word) for _, given in calls for pair in given.items() for word in pair
        ]
        last = max(text.rfind(word) for word in words)
        ends = [place for stop in self.stop if (place := text.find(stop, last)) >= 0]
        return text[: min(ends)] if ends else text

    def _fill(self, talk: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], **how: bool) -> str | None:
        try:
            messages = [canonical(dict(message), content_form(self.jinja)) for message in talk]
        except DataError:
            return None
        tokens = {"bos_token": "", "eos_token": "", "add_generation_prompt": False}
        return filled(
            self.jinja,
            {**tokens, **json.loads(self.variables), "messages": messages, "tools": list(tools) or None, **how},
        )


@dataclass(frozen=True)
class Lead:
    """What stands before an answer."""

    plain: str  # without a thought
    behind_thought: str  # behind the mark that ends one
    thought: str | None  # what opens a thought behind the prompt, "" within one; None: there is none
    close: str  # what ends it

    def rule(self, rules: Rules) -> str:
        """It as a part of a grammar."""
        if self.thought is None:
            return rules.text(self.plain)
        space = rules.add(r"/[ \n]{0,4}/")
        thought = f"{rules.text(self.thought)} {rules.thought(self.close)} {space}"
        behind = f"{thought} {rules.text(self.behind_thought.lstrip())}"
        return rules.add(behind if not self.thought else f"{behind} | {space} {rules.text(self.plain.lstrip())}")


@functools.lru_cache(maxsize=256)
def text_lead(source: Source) -> Lead:
    """What stands before the text of an answer."""
    plain = source.write({"content": _SAID})
    thought = source.write({"content": _SAID, "reasoning": _THOUGHT})
    return _lead(
        source, *(text and text.partition(_SAID)[0] if _SAID in (text or "") else None for text in (plain, thought))
    )


@functools.lru_cache(maxsize=256)
def thought_end(source: Source) -> str:
    """What is written between a thought and the text behind it, such as `\\n</think>\\n\\n`; "" if nothing thinks."""
    if source.thinking is None:
        return ""
    written = source.write({"content": _SAID, "reasoning": _THOUGHT}) or ""
    between, said, _ = written.partition(_THOUGHT)[2].partition(_SAID)
    close = source.thinking.close.strip()
    return between if said and close in between else f"\n{close}\n\n"


@functools.lru_cache(maxsize=256)
def calls_lead(source: Source) -> tuple[Lead, Writing] | None:
    """What stands before the first call, and how calls are written; None where that cannot be read off."""
    writing = writing_of(source.calls, source.marks)
    if writing is None:
        return None
    thought = source.calls([_FIRST], reasoning=_THOUGHT)
    mark = '{"keyqa"' if writing.name_last else _FIRST[0]
    return _lead(source, writing.head, thought.partition(mark)[0] if thought else None), writing


def _lead(source: Source, plain: str | None, thoughtful: str | None) -> Lead:
    """
    Args:
        plain: what is written before an answer; None: nothing that begins with the prompt.
        thoughtful: the same with a thought.
    """
    thinking, plain = source.thinking, plain or ""
    if thinking is None:
        return Lead(plain, plain, None, "")
    close = thinking.close.strip()
    behind = plain.rpartition(close)[2]
    opened, thought, rest = (thoughtful or "").partition(_THOUGHT)
    if source.begun:
        return Lead(behind, behind, "", close)
    if not thought or not opened.strip():
        return Lead(plain, plain, None, "")  # it was closed by the prompt, or the model is told not to think
    _, closed, after = rest.partition(close)
    return Lead(behind, after if closed else behind, opened, close)
