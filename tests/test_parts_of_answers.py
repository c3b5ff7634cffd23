"""Every installed template: in what it writes thoughts, calls and text are told apart, and what others say is found."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, Rendered
from tunesmith_library_training.turns import contents_of, parts_of

pytestmark = pytest.mark.slow

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
PROCESSOR = SimpleNamespace(**TOKENS, chat_template=None, added_tokens_decoder={}, get_vocab=dict, eos_token_id=2)
ASKED = {"role": "user", "content": "When is high tide?"}
CALL = {"type": "function", "function": {"name": "tide_table", "arguments": {"at": "noon"}}, "id": "abc123456"}
PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "tide_table", "description": "Tides.", "parameters": PARAMETERS}}
ANSWERS = [
    {"role": "assistant", "reasoning": "Deep thought here.", "content": "Let me look.", "tool_calls": [CALL]},
    {"role": "assistant", "reasoning": "Second thought.", "content": "At noon."},
    {"role": "assistant", "content": "At noon."},
]


def renderings() -> Iterator[tuple[str, ChatTemplate, dict[str, Any], Rendered]]:
    for entry in sorted(entry_points(group="tunesmith.template"), key=lambda entry: entry.name):
        if entry.name == "auto":
            continue
        hook = entry.load()().chat_template
        template = hook(processor=PROCESSOR) if "processor" in inspect.signature(hook).parameters else hook()
        missing = {name: token for name, token in TOKENS.items() if name not in template.variables}
        template = template.with_variables(**missing)
        for answer in ANSWERS:
            row = {"messages": [ASKED, answer], "tools": [TOOL] if "tool_calls" in answer else None}
            try:
                yield entry.name, template, row, template.render(row["messages"], row["tools"], training=True)
            except DataError:  # which has no form for it
                continue


def test_parts_of_what_each_template_writes() -> None:
    count = 0
    for name, template, row, rendered in renderings():
        answer, span = row["messages"][1], rendered.spans[-1]
        said = rendered.text[span.start : span.end]
        places = parts_of(rendered.text, (span.start, span.end), answer, template)
        parts = {part: [rendered.text[start:end] for start, end in ranges] for part, ranges in places.items()}
        assert sum(len(text) for part in ("thought", "calls", "answer") for text in parts[part]) == len(said), name
        assert parts["end"] == [next(stop for stop in template.stop if said.endswith(stop))], name
        wanted = {"thought": answer.get("reasoning", ""), "answer": answer["content"]}
        wanted |= {"calls": "tide_table"} if "tool_calls" in answer else {}
        for part, text in wanted.items():
            found = [other for other in ("thought", "calls", "answer") if any(text in piece for piece in parts[other])]
            assert not text or text not in said or found == [part], (name, part, said)
        start, end = contents_of(row, rendered, template)[0]
        assert rendered.text[start:end] == ASKED["content"], name
        count += 1
    assert count > 400
