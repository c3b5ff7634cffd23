"""How many tokens images, videos and sounds take in a text, from their sizes alone: nothing is decoded.

Each placeholder of a rendered conversation becomes what the model's own processor makes of it for an item of that size;
the tokenizer then tokenises the text as any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tunesmith import DataError
from tunesmith_library_engine.showing import BLIND, MEDIA, kinds_of

from tunesmith_library_media.grounding import with_tokens

Text = TypeVar("Text", bound=Any)
"""`tunesmith_library_chat.Rendered`, of which this library knows the fields alone."""

COLUMNS = ("images", "videos", "audios")
"""Of rows and examples: the items that a text shows, each list in the order of the text."""


@dataclass(frozen=True)
class Item:
    """Where an item stands in a text."""

    start: int  # characters, the end exclusive
    end: int
    column: str  # images, videos or audios
    index: int  # in the row's list


def placeholders(processor: Any) -> dict[str, str]:
    """What stands for an item of each column that a model takes; empty for one that reads text alone."""
    return {MEDIA[kind][0]: getattr(processor, f"{kind}_token") for kind in kinds_of(processor)}


def expanded(processor: Any, rendered: Text, row: Mapping[str, Any]) -> Text:
    """The text with the tokens that each item takes.

    Args:
        processor: of the model; its options (`options.keep_options`) limit sizes.
        rendered: a conversation (`tunesmith_library_chat.Rendered`), whose template wrote a placeholder for each item.
        row: whose columns `images`, `videos` and `audios` have the items, in the order of the text.

    Returns: the same with its spans moved, and with `items`, `written` and `moved`.
    Raises: DataError for media that the model does not take, for another number of places than items, and for an item
        whose size cannot be read.
    """
    tokens = placeholders(processor)
    refuse_blind(processor, row)
    given = {column: list(row.get(column) or ()) for column in COLUMNS}
    places = _places(tokens, rendered)
    _refuse_uneven(places, given)
    _refuse_turned(processor, [column for _, _, column, _ in places])
    if not places:
        text = with_tokens(rendered.text, row)
        return rendered if text == rendered.text else replace(rendered, text=text, written=rendered)
    from tunesmith_library_media.replacing import replacement  # not for text alone: it imports numpy

    pieces, items, moved, behind, length = [], [], [], 0, 0
    for start, end, column, index in places:
        made = replacement(processor, column, tokens[column], given[column][index])
        length += start - behind
        items.append(Item(length, length + len(made), column, index))
        pieces += [rendered.text[behind:start], made]
        length, behind = length + len(made), end
        moved.append((end, length - end))
    text = with_tokens("".join([*pieces, rendered.text[behind:]]), row)
    made_of = replace(rendered, text=text, items=tuple(items), written=rendered, moved=tuple(moved))
    spans = []
    for span in rendered.spans:
        start, end = made_of.moved_range(span.start, span.end)
        spans.append(replace(span, start=start, end=end))
    literal = tuple(made_of.moved_range(*place) for place in rendered.literal)
    return replace(made_of, spans=tuple(spans), literal=literal)


def refuse_blind(processor: Any, row: Mapping[str, Any]) -> None:
    """Refuse a row that shows what a model does not take. Raises: DataError."""
    tokens = placeholders(processor)
    for column in COLUMNS:
        if row.get(column) and column not in tokens:
            takes = " and ".join(["text", *tokens])
            raise DataError(f"this model takes {takes}, and no {column}{BLIND}")


def _places(tokens: Mapping[str, str], rendered: Any) -> list[tuple[int, int, str, int]]:
    """Where placeholders stand that the template wrote: start, end, column, and which of its column it is."""
    if not tokens:
        return []
    columns = {token: column for column, token in tokens.items()}
    pattern = "|".join(re.escape(token) for token in sorted(columns, key=len, reverse=True))
    counts = dict.fromkeys(tokens, 0)
    found = []
    for match in re.finditer(pattern, rendered.text):
        if not any(start <= match.start() < end for start, end in rendered.literal):
            column = columns[match.group()]
            found.append((match.start(), match.end(), column, counts[column]))
            counts[column] += 1
    return found


def collide(processor: Any) -> bool:
    """Whether what a processor makes of videos has names of what it makes of images, so that one replaces the other."""
    images, videos = (
        {*getattr(getattr(processor, f"{kind}_processor", None), "model_input_names", ())}
        for kind in ("image", "video")
    )
    return bool(images & videos)


def _refuse_turned(processor: Any, columns: Sequence[str]) -> None:
    """Refuse a video before an image where a processor puts both into one tensor: its order would be another."""
    names = getattr(getattr(processor, "video_processor", None), "model_input_names", ())
    apart = not collide(processor) and (not names or names[0] in getattr(processor, "model_input_names", names))
    if not apart and "images" in columns and "videos" in columns[: len(columns) - columns[::-1].index("images")]:
        raise DataError(
            "a video stands before an image, and this model reads both of one conversation from one tensor, "
            "images first.\n  write the images before the videos"
        )


def _refuse_uneven(places: Sequence[tuple[int, int, str, int]], given: Mapping[str, Sequence[Any]]) -> None:
    for column, items in given.items():
        number = sum(place[2] == column for place in places)
        if number != len(items):
            raise DataError(
                f"the rendered text has {number} places for {column}, and the row {len(items)} {column}.\n"
                f"  write <{column[:-1]}> in the text, or a typed part, where each of them is to be seen"
            )
