"""Rows as prompts to be answered, for stages that learn from rewards."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import DataError
from tunesmith.types import Message, Row
from tunesmith_library_chat import ChatTemplate, tokenizer_of
from tunesmith_library_training.rows import require

logger = logging.getLogger("tunesmith")


def encode_prompts(
    rows: Sequence[Row], processor: Any, template: ChatTemplate, max_length: int, stage: str
) -> tuple[dict[str, list[Any]], int]:
    """Tokenise prompts up to where the answer begins.

    Returns: the columns `prompt_input_ids`, `prompt` (its messages, as JSON) and `row` (the other columns, as JSON,
        for the rewards; a conversation's last answer is `answer` unless the row has one); and how many rows were left
        out because their prompt has more than `max_length` tokens.
    Raises: DataError for rows of another shape, or that the template refuses.
    """
    prompts = [prompt_of(row, stage) for row in rows]
    if not prompts:
        return {"prompt_input_ids": [], "prompt": [], "row": []}, 0
    texts = [
        template.render(messages, row.get("tools"), add_generation_prompt=True).text
        for (messages, _), row in zip(prompts, rows, strict=True)
    ]
    tokenizer = tokenizer_of(processor)
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    kept = [index for index, tokens in enumerate(ids) if 0 < len(tokens) <= max_length]
    return {
        "prompt_input_ids": [list(ids[index]) for index in kept],
        "prompt": [json.dumps(prompts[index][0], ensure_ascii=False) for index in kept],
        "row": [json.dumps(prompts[index][1], ensure_ascii=False, default=str) for index in kept],
    }, len(ids) - len(kept)


def prompt_of(row: Row, stage: str) -> tuple[list[Message], dict[str, Any]]:
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
            require(row, ("prompt",), stage)
        messages = list(row["messages"])
        last = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=None)
        if last is not None and last == len(messages) - 1:
            others.setdefault("answer", messages[last].get("content") or "")
            messages = messages[:last]
    if not messages:
        raise DataError(f"stage.{stage} needs a prompt to answer, and a row has an empty one")
    require({**row, "prompt": messages}, ("prompt",), stage)
    return messages, others


def _said(completion: Any) -> str:
    """The text of a row's `completion`, a text or messages."""
    if isinstance(completion, str):
        return completion
    return str(completion[-1].get("content") or "") if completion else ""


def warn_of_longer(stage: str, longer: int, count: int, max_length: int) -> None:
    """Tell that rows are left out."""
    logger.warning(
        "stage.%s: the prompts of %d of the first %d rows are empty or over %d tokens (stage.max_prompt_length) and "
        "are left out",
        stage,
        longer,
        count,
        max_length,
    )


def read(example: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
    """The messages of an encoded example's prompt, and the other columns of its row."""
    return json.loads(example["prompt"]), json.loads(example["row"])


def end_tokens(template: ChatTemplate | None, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's end of text, and the template's end of a turn where it is one."""
    found = {tokenizer.eos_token_id} - {None}
    for string in template.stop if template is not None else ():
        ids = tokenizer.encode(string, add_special_tokens=False)
        if len(ids) == 1:
            found.add(ids[0])
    return sorted(found)
