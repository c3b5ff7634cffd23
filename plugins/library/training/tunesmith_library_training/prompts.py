"""Rows as prompts to be answered, for stages that learn from rewards. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.types import Message, Problem, Row
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of
from tunesmith_library_formats import Sizes, measure

from tunesmith_library_training.rows import Advise, require, text_only, variables_of, warn_once

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

    Returns: the columns `prompt_input_ids`, `prompt` (its messages, as JSON) and `row` (the other columns, as JSON,
        for the rewards; a conversation's last answer is `answer` unless the row has one).
    Raises: DataError for rows of another shape, or that the template refuses.
    """
    prompts = [prompt_of(row, stage, advise) for row in rows]
    if not prompts:
        return {"prompt_input_ids": [], "prompt": [], "row": []}
    rendered = [
        template.render(messages, row.get("tools"), add_generation_prompt=True, **variables_of(row))
        for (messages, _), row in zip(prompts, rows, strict=True)
    ]
    encodings = tokenize(tokenizer_of(processor), rendered, control=template.control)
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
    }


def prompt_of(row: Row, stage: str, advise: Advise | None = None) -> tuple[list[Message], dict[str, Any]]:
    """A row's prompt, and its other columns.

    Raises: DataError when it has none, or more than text.
    """
    others = {name: value for name, value in row.items() if name not in ("prompt", "messages")}
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
    text_only(row, stage)
    return messages, others


def _said(completion: Any) -> str:
    """The text of a row's `completion`, a text or messages."""
    if isinstance(completion, str):
        return completion
    return str(completion[-1].get("content") or "") if completion else ""


def read(example: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
    """The messages of an encoded example's prompt, and the other columns of its row."""
    return json.loads(example["prompt"]), json.loads(example["row"])
