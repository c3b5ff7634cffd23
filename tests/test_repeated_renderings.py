"""What is put together from pieces of former renderings, against the renderings themselves, over every template."""

from __future__ import annotations

import copy
import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith.errors import DataError
from tunesmith_library_chat import ChatTemplate, repeating
from tunesmith_library_chat.conversations import CASES, Case, read_renderings
from tunesmith_library_chat.messages import canonical, content_form

DOCS = Path(__file__).parents[1] / "docs/tools"
FEW = ("gpt_oss", "llama3", "qwen3")
BITS = (
    *("Hello", "</think>", "<think>\n", "\n", " ", "  x", "Ünï", "```", "<tool_call>", "{}", "\n\n", "A b c"),
    *("[THINK]", "ok.", "<|x|>", "data:", "/think", "/no_think", "\ufdd0", "\ufdd1"),
)


def subjects(names: tuple[str, ...] | None) -> Iterator[tuple[str, ChatTemplate]]:
    sys.path.insert(0, str(DOCS))
    try:
        table = importlib.import_module("template_table")
    finally:
        sys.path.remove(str(DOCS))
    for cls, folder in table.templates():
        name = cls.traits.name
        if names is None or name in names:
            official = read_renderings(folder / "tests" / "renderings.json").get(name, {})
            yield name, table.subject_of(cls, official).template


def varied(case: Case, draw: random.Random) -> list[dict[str, Any]]:
    messages = copy.deepcopy(list(case.messages))
    for message in messages:
        for key, most in (("content", 4), ("reasoning", 3)):
            if isinstance(message.get(key), str) and draw.random() < 0.7:
                message[key] = "".join(draw.choices(BITS, k=draw.randint(0 if key == "content" else 1, most)))
    return messages


def compared(template: ChatTemplate, turns: list[dict[str, Any]], variables: dict[str, Any], marks: bool) -> bool:
    """Whether a conversation was put together; what comes of it is what the template writes, or no text."""
    known = repeating._renderings(template.jinja)
    place = repeating._place(turns, variables, marks)
    assert known is not None and place is not None
    found = known.write(*place)
    try:
        wanted = repeating._rendered(template.jinja, turns, variables, marks)
    except Exception:
        assert found is None
        return False
    if found is None:
        known.learn(*place, turns, variables, wanted)
        return False
    assert found == wanted
    return True


def share(template: ChatTemplate, rounds: int) -> float:
    """The share of conversations that are put together."""
    draw, fast = random.Random(1), []
    for case in CASES.values():
        for number in range(rounds):
            messages = varied(case, draw) if number > 1 else list(case.messages)
            try:
                turns = [canonical(message, content_form(template.jinja)) for message in messages]
            except DataError:  # the template reads text only
                continue
            tools = list(case.tools) if case.tools else None
            given = {**template.variables, **template.switched(case.variables), "tools": tools, "documents": None}
            for training in ({}, {"training": True}):
                values = {**given, **training, "add_generation_prompt": case.prompt}
                fast += [compared(template, turns, values, marks) for marks in (True, False)]
    return sum(fast) / len(fast)


def test_some_templates() -> None:
    assert {name for name, template in subjects(FEW) if share(template, 4) > 0.1} == set(FEW)


@pytest.mark.slow
def test_all_templates() -> None:
    shares = {name: share(template, 5) for name, template in subjects(None)}
    assert len(shares) > 100
    # which put texts together before they strip them, or read them letter by letter
    assert {name for name, found in shares.items() if found < 0.03} <= {"llama2_zh", "paligemma"}
