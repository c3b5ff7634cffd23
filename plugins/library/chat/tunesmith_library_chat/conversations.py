"""Conversations that every chat template is tried with: what its table in the documentation has columns for."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Messages = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Case:
    """One conversation, and how it is rendered."""

    messages: Messages
    tools: Messages | None = None
    prompt: bool = False  # ends with what precedes an answer
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of a rendering, beside the messages."""
        return {"tools": self.tools and list(self.tools), "add_generation_prompt": self.prompt, **self.variables}


def _tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _call(name: str, id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "id": id, "function": {"name": name, "arguments": arguments}}


def _said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


TOOLS = (
    _tool(
        "count_waves",
        "Count the waves on a beach.",
        beach={"type": "string", "description": "Its name, e.g. <Rügen>"},
        hours={"type": "integer", "enum": [1, 2]},
    ),
    _tool("tell_time", "Tell the time.", zone={"type": "string"}),
)
_SYSTEM = _said("system", "Speak like a sailor.")
_ASKED = _said("user", "Who counts the waves?")
_ANSWERED = _said("assistant", "Nobody counts them twice.")
_AGAIN = _said("user", "再见！\nSee you.")
_BYE = _said("assistant", "Good bye, 朋友.")
_FIRST = _call("count_waves", "abc123def", beach="Rügen \"N\" & 'S'", hours=2)
_SECOND = _call("tell_time", "xyz789ghi", zone="UTC")
_CALLS = _said("assistant", "", tool_calls=[_FIRST])
_RESULT = _said("tool", '{"waves": 7042}', name="count_waves", tool_call_id="abc123def")
_RESULT_TOO = _said("tool", "noon", name="tell_time", tool_call_id="xyz789ghi")
_BOTH = _said("assistant", "", tool_calls=[_FIRST, _SECOND])
_BESIDE = _said("assistant", "Let me see.", tool_calls=[_FIRST])
_THOUGHT = {**_ANSWERED, "reasoning": "They are many."}
_THOUGHT_TOO = {**_BYE, "reasoning": "He leaves.\nSo do I."}
_IMAGE = {"role": "user", "content": [{"type": "image", "image": "sea.png"}, {"type": "text", "text": "What is it?"}]}

TALK: Messages = (_ASKED, _ANSWERED, _AGAIN, _BYE)
"""Two turns; every content occurs once, one has a line break, some is Chinese."""

CASES: Mapping[str, Case] = {
    "single": Case((_ASKED,), prompt=True),
    "single_answer": Case((_ASKED, _ANSWERED)),
    "multi": Case(TALK),
    "multi_prompt": Case((_ASKED, _ANSWERED, _AGAIN), prompt=True),
    "system": Case((_SYSTEM, _ASKED), prompt=True),
    "system_multi": Case((_SYSTEM, _ASKED, _ANSWERED, _AGAIN, _BYE)),
    "white": Case((_said("user", " 1 \n"), _said("assistant", "\n two\n\n"), _said("user", "\tthree ")), prompt=True),
    "tools": Case((_ASKED,), TOOLS, prompt=True),
    "tools_system": Case((_SYSTEM, _ASKED), TOOLS, prompt=True),
    "tools_multi": Case((_ASKED, _ANSWERED, _AGAIN), TOOLS, prompt=True),
    "call": Case((_ASKED, _CALLS, _RESULT, _ANSWERED), TOOLS),
    "call_last": Case((_ASKED, _CALLS), TOOLS),
    "call_prompt": Case((_SYSTEM, _ASKED, _CALLS, _RESULT), TOOLS, prompt=True),
    "call_beside": Case((_ASKED, _BESIDE, _RESULT), TOOLS, prompt=True),
    "parallel": Case((_ASKED, _BOTH, _RESULT, _RESULT_TOO, _ANSWERED), TOOLS),
    "parallel_prompt": Case((_ASKED, _BOTH, _RESULT, _RESULT_TOO), TOOLS, prompt=True),
    "call_again": Case((_ASKED, _CALLS, _RESULT, _ANSWERED, _AGAIN), TOOLS, prompt=True),
    "thought": Case((_ASKED, _THOUGHT)),
    "thought_multi": Case((_ASKED, _THOUGHT, _AGAIN, _THOUGHT_TOO)),
    "thought_prompt": Case((_ASKED, _THOUGHT, _AGAIN), prompt=True),
    "thought_call": Case((_ASKED, {**_CALLS, "reasoning": "I count."}, _RESULT), TOOLS, prompt=True),
    "thought_on": Case((_ASKED,), prompt=True, variables={"enable_thinking": True}),
    "thought_off": Case((_ASKED,), prompt=True, variables={"enable_thinking": False}),
    "thought_off_answer": Case((_ASKED, _ANSWERED), variables={"enable_thinking": False}),
    "image": Case((_IMAGE,), prompt=True),
}


@functools.cache
def read_renderings(file: Path) -> Mapping[str, Any]:
    """What official templates make of `CASES`: by template `source`, `tokens`, `variables`, and `cases` by name.

    A text that begins as another does is written `[that one's case, how many characters they share, the rest]`; here
    all are whole. A file that is not there holds nothing.
    """
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for official in found.values():
        texts: dict[str, str] = {}
        for case, text in official["cases"].items():
            texts[case] = text if isinstance(text, str) else texts[text[0]][: text[1]] + text[2]
        official["cases"] = texts
    return found
