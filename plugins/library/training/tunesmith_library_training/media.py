"""Conversations that show images, videos and sounds: what examples keep of them, and what becomes of them where a
conversation is cut. Free of torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tunesmith.types import IGNORED, Message, Row
from tunesmith_library_chat import Rendered
from tunesmith_library_media.expanding import COLUMNS, placeholders, refuse_blind
from tunesmith_library_media.grounding import grounded
from tunesmith_library_media.holding import stored
from tunesmith_library_media.options import options_of
from tunesmith_library_media.placing import CONVERSATIONS, placed

COUNTS = "media_counts"
"""The column of packed rows that tells how many items of each of `COLUMNS` each of their sequences shows."""


def held(row: Row, processor: Any) -> Row:
    """A row whose items have places in its texts, and are as examples keep them: paths, or bytes of files; boxes are
    written in its texts as the model has them.

    Raises: DataError for what is none, and for another number of places than items or boxes.
    """
    row = placed(row, placeholders(processor))
    if any(row.get(column) for column in COLUMNS):
        refuse_blind(processor, row)
        hosts = options_of(processor).hosts
        kept = {
            column: [stored(item, column[:-1], hosts) for item in row[column]]  # type: ignore[arg-type]
            for column in COLUMNS
            if row.get(column)
        }
        row = {**row, **kept}
    return grounded(row, processor)


def carrying(row: Row, processor: Any) -> Row:
    """A row whose messages carry themselves what they show, so that they can be put together anew and left out.

    Raises: DataError as `held`.
    """
    row = held(row, processor)
    items = {column: iter(row.get(column) or ()) for column in COLUMNS}
    if not any(row.get(column) for column in COLUMNS):
        return row
    loaded = {
        name: [_carrying(message, items) for message in row[name]]
        for name in CONVERSATIONS
        if isinstance(row.get(name), list)
    }
    return {**{name: value for name, value in row.items() if name not in COLUMNS}, **loaded}


def _carrying(message: Message, items: Mapping[str, Iterator[Any]]) -> Message:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [
        {**part, part["type"]: next(items[f"{part['type']}s"])} if f"{part['type']}s" in items else part
        for part in content
    ]
    return {**message, "content": parts}


def columns_of(processor: Any) -> tuple[str, ...]:
    """The columns of items that all examples for a model have, also those that show nothing."""
    return tuple(column for column in COLUMNS if column in placeholders(processor))


def token_ranges(encoding: Any, rendered: Rendered) -> list[tuple[int, int]]:
    """The tokens of each item, ends exclusive."""
    return [(encoding.char_to_token(item.start), encoding.char_to_token(item.end - 1) + 1) for item in rendered.items]


def unlearn(sequence: Mapping[str, list[Any]], ranges: Sequence[tuple[int, int]]) -> None:
    """Take the labels from tokens of items, whoever shows them: they are no words."""
    for start, stop in ranges:
        sequence["labels"][start:stop] = [IGNORED] * (stop - start)
        if "weights" in sequence:
            sequence["weights"][start:stop] = [0.0] * (stop - start)


def before_items(tokens: int, ranges: Sequence[tuple[int, int]], ids: Sequence[int], control: Collection[int]) -> int:
    """How many tokens are kept of the first ones, so that they end within no item, nor between it and its marks.

    Args:
        ranges: of the items, `token_ranges`.
        ids: of the tokens.
        control: of control tokens; such as stand directly around an item are its marks.
    """
    behind = 0
    for start, stop in ranges:
        first, last = start, stop
        while first > behind and ids[first - 1] in control:
            first -= 1
        while last < len(ids) and last - stop < start - first and ids[last] in control:
            last += 1
        if first < tokens < last:
            return first
        behind = last
    return tokens


def shown(row: Row, rendered: Rendered, ranges: Sequence[tuple[int, int]], tokens: int, processor: Any) -> Row:
    """The items that the first tokens of a conversation show, by column; of all that the model takes."""
    found: dict[str, list[Any]] = {column: [] for column in columns_of(processor)}
    for item, (_, stop) in zip(rendered.items, ranges, strict=True):
        if stop <= tokens:
            found[item.column].append(row[item.column][item.index])
    return found


def counts(items: Mapping[str, Sequence[Any]]) -> list[int]:
    """How many items of each of `COLUMNS` a sequence shows."""
    return [len(items.get(column) or ()) for column in COLUMNS]


def items_of(example: Mapping[str, Any]) -> list[dict[str, Sequence[Any]]]:
    """The items of each of an example's sequences, by column; one unless it is packed."""
    every: dict[str, Sequence[Any]] = {column: list(example[column]) for column in COLUMNS if column in example}
    if "sequence_lengths" not in example:
        return [every]
    numbers = example.get(COUNTS, [[0] * len(COLUMNS)] * len(example["sequence_lengths"]))
    found: list[dict[str, Sequence[Any]]] = []
    behind = dict.fromkeys(COLUMNS, 0)
    for of_sequence in numbers:
        ends = {column: behind[column] + number for column, number in zip(COLUMNS, of_sequence, strict=True)}
        found.append({column: every[column][behind[column] : ends[column]] for column in every})
        behind = ends
    return found
