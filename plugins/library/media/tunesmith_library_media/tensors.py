"""The tensors that a model reads in the place of items: decoded when a batch is made, by the model's own processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import DataError

from tunesmith_library_media.along import along_tokens
from tunesmith_library_media.expanding import COLUMNS, collide, placeholders
from tunesmith_library_media.holding import Stored
from tunesmith_library_media.options import options_of
from tunesmith_library_media.shapes import call, loaded
from tunesmith_library_media.uneven import is_uneven, one_by_one

_OF_TEXT = frozenset({"input_ids", "attention_mask", "labels", "text_replacement_offsets"})
_SILENT = "-"  # the text of a row that shows nothing


def tensors_of(
    processor: Any, sequences: Sequence[Mapping[str, Sequence[Any]]], batch: Mapping[str, Any]
) -> dict[str, Any]:
    """What a model takes beside a batch's tokens, for the items that it shows.

    Args:
        processor: of the model; its options limit sizes.
        sequences: the items of each sequence of the batch, by column (`expanding.COLUMNS`), in the order of its tokens.
        batch: with `input_ids` (B, T), int64, in which each item has its tokens: a row for each sequence, or one row of
            them all.

    Returns: tensors by the names of the model's arguments, such as `pixel_values`; those along the sequence have the
        shape of `input_ids`. Empty where nothing is shown.
    Raises: DataError for an item that cannot be decoded.
    """
    if not any(sequence.get(column) for sequence in sequences for column in COLUMNS):
        return {}
    tokens, options = placeholders(processor), options_of(processor)
    rows = [sequences] if len(batch["input_ids"]) < len(sequences) else [[sequence] for sequence in sequences]
    texts = [
        "".join(tokens[column] * len(sequence.get(column) or ()) for sequence in row for column in tokens) or _SILENT
        for row in rows
    ]
    decoded: dict[Any, Any] = {}  # answers that are compared show the same items

    def once(column: str, item: Any) -> Any:
        kept = isinstance(item, Mapping) and item.keys() == Stored.__annotations__.keys()
        key = (column, item["path"], item["bytes"]) if kept else (column, id(item))
        if key not in decoded:
            decoded[key] = loaded(processor, column, item, options)
        return decoded[key]

    media = {
        column: [[once(column, item) for item in each.get(column) or ()] for each in sequences] for column in tokens
    }
    together = {column: _by_row(every) if len(rows) < len(every) else every for column, every in media.items()}
    made = _made(processor, texts, media, together)
    found = {name: value for name, value in made.items() if name not in _OF_TEXT}
    return {**found, **along_tokens(processor, made, batch)}


def _made(
    processor: Any,
    texts: Sequence[str],
    media: Mapping[str, Sequence[Sequence[Any]]],
    together: Mapping[str, Sequence[Sequence[Any]]],
) -> Mapping[str, Any]:
    """What a processor makes of the items of each sequence; at once, where it can.

    Args:
        together: the items of each row of the batch.
    """
    if all(any(media.get(column, ())) for column in ("images", "videos")) and collide(processor):
        return one_by_one(processor, placeholders(processor), media)
    try:
        made: Mapping[str, Any] = call(processor, texts, together, padding=True, return_tensors="pt")
    except DataError:
        if not is_uneven(media):
            raise
        made = one_by_one(processor, placeholders(processor), media)
    return made


def _by_row(items: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The items of sequences in one row."""
    return [[item for of_sequence in items for item in of_sequence]]
