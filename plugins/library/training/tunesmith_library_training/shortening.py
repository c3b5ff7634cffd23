"""Prompts that lose their beginning, so that the answers to them stay whole: first old turns, then what is asked.

The system message and the tools stay, and so do the marks of every turn that is left. Free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith.types import Message, Row
from tunesmith_library_chat import ChatTemplate, tokenize, tokenizer_of
from tunesmith_library_media.expanding import expanded

from tunesmith_library_training.media import held
from tunesmith_library_training.rows import variables_of
from tunesmith_library_training.turns import contents_of

Lengths = Callable[[Sequence[Row], Sequence[int]], list[int]]
"""Tokens of rows, by rows and their indices: each with the longer of its answers."""

_TRIES = 4  # of cutting what is asked: where it is cut, other tokens may come


def shorten_prompts(
    rows: Mapping[int, Row],
    answers: Mapping[int, Sequence[Message]],
    lengths: Lengths,
    most: int,
    processor: Any,
    template: ChatTemplate,
) -> dict[int, Row]:
    """Rows with as much of the end of their prompt as `most` tokens hold beside the answers.

    Where those alone have no room, the last question keeps the share of its tokens that the whole could keep of all, so
    that both lose something.

    Args:
        rows: that are too long, by their index.
        answers: the longest one of each.
    """
    made = _without_old_turns(rows, lengths, most)
    waiting = {index: row for index, row in made.items() if lengths([row], [index])[0] > most}
    for index, row in waiting.items():
        for _ in range(_TRIES):
            shorter, has_room = _asking_less(row, answers[index], most, processor, template)
            row = made[index] = shorter
            if not has_room or lengths([row], [index])[0] <= most:
                break
    return made


def _without_old_turns(rows: Mapping[int, Row], lengths: Lengths, most: int) -> dict[int, Row]:
    """Rows whose prompts begin with the first question from which on they fit, or else the last one."""
    starts = {index: _questions(row["prompt"]) for index, row in rows.items()}
    low = dict.fromkeys(rows, 0)
    high = {index: max(0, len(places) - 1) for index, places in starts.items()}
    while open_ones := [index for index in rows if low[index] < high[index]]:
        middle = {index: (low[index] + high[index]) // 2 for index in open_ones}
        tried = [_from(rows[index], starts[index][place]) for index, place in middle.items()]
        for index, length in zip(open_ones, lengths(tried, open_ones), strict=True):
            if length <= most:
                high[index] = middle[index]
            else:
                low[index] = middle[index] + 1
    return {index: _from(row, starts[index][low[index]]) if starts[index] else row for index, row in rows.items()}


def _questions(prompt: Sequence[Message]) -> list[int]:
    """Where a prompt may begin: at each of the user's messages."""
    return [index for index, message in enumerate(prompt) if message["role"] == "user"]


def _from(row: Row, start: int) -> Row:
    prompt = row["prompt"]
    first = _questions(prompt)[0]
    return {**row, "prompt": [*prompt[:first], *prompt[start:]]}


def _asking_less(
    row: Row, answer: Sequence[Message], most: int, processor: Any, template: ChatTemplate
) -> tuple[Row, bool]:
    """A row whose last question lacks as many tokens of its beginning as are too many, and whether it has so many."""
    asked = next(iter(_questions(row["prompt"])[-1:]), None)
    if asked is None or not isinstance(content := row["prompt"][asked]["content"], str):
        return row, False
    chat = held({**row, "messages": [*row["prompt"], *answer], "prompt": []}, processor)
    written = template.render(chat["messages"], row.get("tools"), training=True, **variables_of(row))
    rendered = expanded(processor, written, chat)
    [encoding] = tokenize(tokenizer_of(processor), [rendered], control=template.control)
    start, end = contents_of(chat, rendered, template).get(asked, (0, 0))
    inside = [
        index
        for index in range(len(encoding))
        if (characters := encoding.token_to_chars(index)) and start <= characters[0] and characters[1] <= end
    ]
    over = len(encoding) - most
    has_room = over < len(inside)
    if not has_room:
        over = len(inside) - max(1, len(inside) * most // len(encoding))
    if over <= 0:
        return row, False
    begins = encoding.token_to_chars(inside[over])[0]
    if encoding.token_to_chars(inside[over - 1])[1] > begins:  # within a character
        begins += 1
    left = content.strip()[begins - start :]
    if not left.strip():
        return row, False
    prompt = [*row["prompt"]]
    prompt[asked] = {**prompt[asked], "content": left}
    return {**row, "prompt": prompt}, has_room
