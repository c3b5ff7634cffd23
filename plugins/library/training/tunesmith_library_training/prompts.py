"""Rows as prompts to be answered, for stages that learn from rewards. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.types import Message, Problem, Row
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of
from tunesmith_library_chat.showing import items_of, without_items
from tunesmith_library_engine.showing import MEDIA
from tunesmith_library_formats import Sizes, measure
from tunesmith_library_media.expanding import COLUMNS, expanded
from tunesmith_library_media.placing import CONVERSATIONS

from tunesmith_library_training.media import carrying, columns_of
from tunesmith_library_training.rows import Advise, require, variables_of, warn_once

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def missing_reward(plan: Plan, stage: str) -> list[Problem]:
    """The problem of a stage that learns from rewards where none is selected."""
    if plan.command != "train" or plan.uses("reward"):
        return []
    installed = ", ".join(sorted(plan.installed("reward"))) or "none"
    message = f"stage.{stage} learns from rewards, and none is selected."
    return [Problem("reward", message, f"write reward.NAME={{}}; installed: {installed}")]


def encode_prompts(
    rows: Sequence[Row],
    processor: Any,
    template: ChatTemplate,
    *,
    max_length: int,
    stage: str,
    said: set[str],
    advise: Advise | None = None,
) -> dict[str, list[Any]]:
    """Tokenise prompts up to where the answer begins. Those that are empty or too long are left out, with a warning.

    Args:
        max_length: tokens of a prompt, at most.
        stage: its name, for messages.
        said: what was warned of before, see `rows.warn_once`.
        advise: what to do about rows of another shape, see `rows.require`.

    Returns: the columns `prompt_input_ids`, `prompt` (its messages, as JSON, with places where it shows something),
        `row` (the other columns, as JSON, for the rewards; a conversation's last answer is `answer` unless the row has
        one), and `images`, `videos`, `audios` of those that the model takes.
    Raises: DataError for rows of another shape, that the template refuses, or that show what the model does not take.
    """
    prompts = [_asked(row, processor, stage, advise) for row in rows]
    if not prompts:
        return {name: [] for name in ("prompt_input_ids", "prompt", "row", *columns_of(processor))}
    rendered = [
        template.render(messages, row.get("tools"), add_generation_prompt=True, **variables_of(row))
        for (messages, _, _), row in zip(prompts, rows, strict=True)
    ]
    whole = [
        expanded(processor, text, {**others, **shown})
        for text, (_, others, shown) in zip(rendered, prompts, strict=True)
    ]
    encodings = tokenize(tokenizer_of(processor), whole, control=template.control)
    ids = [encoding.ids for encoding in encodings]
    kept = [index for index, tokens in enumerate(ids) if 0 < len(tokens) <= max_length]
    what = f"have a prompt that is empty or over {max_length} tokens (stage.max_prompt_length) and are left out"
    warn_once(said, stage, len(ids) - len(kept), rows, what, lost=True)
    for row, tokens in zip(rows, ids, strict=True):
        measure(Sizes(longest=len(tokens), place=str(getattr(row, "where", ""))))
    measure(Sizes(tokens=sum(len(ids[index]) for index in kept)))
    return {
        "prompt_input_ids": [list(ids[index]) for index in kept],
        "prompt": [json.dumps(prompts[index][0], ensure_ascii=False) for index in kept],
        "row": [json.dumps(prompts[index][1], ensure_ascii=False, default=str) for index in kept],
        **{column: [prompts[index][2][column] for index in kept] for column in columns_of(processor)},
    }


def _asked(
    row: Row, processor: Any, stage: str, advise: Advise | None
) -> tuple[list[Message], dict[str, Any], dict[str, list[Any]]]:
    """A row's prompt with places for what it shows, its other columns, and what the prompt shows, by column."""
    if isinstance(row.get("prompt"), str):
        row = {**row, "prompt": [{"role": "user", "content": row["prompt"]}]}
    messages, others = prompt_of(carrying(row, processor), stage, advise)
    shown: dict[str, list[Any]] = {column: [] for column in COLUMNS}
    for kind, value in items_of(messages):
        shown[MEDIA[kind][0]].append(value)
    others = {
        name: without_items(value) if name in CONVERSATIONS and isinstance(value, list) else value
        for name, value in others.items()
    }
    return without_items(messages), others, shown


def prompt_of(row: Row, stage: str, advise: Advise | None = None) -> tuple[list[Message], dict[str, Any]]:
    """A row's prompt, and its other columns.

    Raises: DataError when it has none.
    """
    others = {name: value for name, value in row.items() if name not in ("prompt", "messages", *COLUMNS)}
    if "prompt" in row:
        prompt = row["prompt"]
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if not others.get("answer") and (said := _said(row.get("completion"))):
            others["answer"] = said
    else:
        if "messages" not in row:
            require(row, ("prompt",), stage, advise)
        messages = list(row["messages"])
        last = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=None)
        if last is not None and last == len(messages) - 1:
            others.setdefault("answer", messages[last].get("content") or "")
            messages = messages[:last]
    if not messages:
        raise DataError(f"stage.{stage} needs a prompt to answer, and a row has an empty one")
    return messages, others


def _said(completion: Any) -> str:
    """The text of a row's `completion`, a text or messages."""
    if isinstance(completion, str):
        return completion
    return text_of(completion[-1].get("content")) if completion else ""


def text_of(content: Any) -> str:
    """The text of a message's content, without the places of what it shows."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return str(content or "")


def read(example: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
    """The messages of an encoded example's prompt, and the other columns of its row.

    Of what the prompt shows the columns `images`, `videos` and `audios` have paths, or the bytes of files.
    """
    shown = {
        column: [item["bytes"] if item["path"] is None else item["path"] for item in items]
        for column, items in items_shown(example).items()
    }
    return json.loads(example["prompt"]), {**json.loads(example["row"]), **shown}


def items_shown(example: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """What an encoded example's prompt shows, by column; empty where it shows nothing."""
    found = {column: example.get(column) for column in COLUMNS}
    return {column: list(items) for column, items in found.items() if items is not None and len(items)}
