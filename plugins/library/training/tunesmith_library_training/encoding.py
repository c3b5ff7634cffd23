"""Conversations to token ids and labels. Jinja renders, the Rust tokenizer tokenises all rows at once, and the trained
tokens are found from the template's character spans: no Python runs per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith import DataError
from tunesmith.types import IGNORED, Row
from tunesmith_library_chat import ChatTemplate, Rendered, tokenize, tokenizer_of

from tunesmith_library_training.lost_thoughts import count_lost_thoughts
from tunesmith_library_training.rows import variables_of


@dataclass(frozen=True)
class Spans:
    """Which parts of a conversation are trained."""

    whole: bool = False  # all tokens
    last_only: bool = False  # of the assistant's turns only the last
    weighted: bool = False  # read the messages' `weight`

    def of(self, row: Row, rendered: Rendered) -> list[tuple[int, int, float]]:
        """Ranges of characters and their weight, in the order of the text."""
        if self.whole:
            return [(0, len(rendered.text), 1.0)]
        messages = row["messages"]
        spans = rendered.spans[-1:] if self.last_only else rendered.spans
        ranges = []
        for span in spans:
            weight = messages[span.message].get("weight")
            weight = 1.0 if weight is None else float(weight)
            if weight not in (0.0, 1.0) and not self.weighted:
                raise DataError(f"a message has the weight {weight:g}: set stage.message_weights=true to use it")
            if weight:
                ranges.append((span.start, span.end, weight))
        return ranges


def encode_conversations(
    rows: Sequence[Row], processor: Any, template: ChatTemplate, spans: Spans
) -> list[dict[str, list[Any]]]:
    """Tokenise conversations: rows with `messages`, and `tools` and `enable_thinking` if any.

    Returns: one sequence per row: `input_ids`, `labels` (the token itself, or -100), and with `spans.weighted` the
        `weights` of the labels (0 where not trained).
    Raises: DataError for rows that the template refuses.
    """
    rendered = [template.render(row["messages"], row.get("tools"), training=True, **variables_of(row)) for row in rows]
    if not rendered:
        return []
    count_lost_thoughts(rows, rendered, template)
    encodings = tokenize(tokenizer_of(processor), rendered, control=template.control)
    return [
        _label(encoding, len(item.text), spans.of(row, item), spans.weighted)
        for row, item, encoding in zip(rows, rendered, encodings, strict=True)
    ]


def _label(
    encoding: Any, characters: int, ranges: Sequence[tuple[int, int, float]], weighted: bool
) -> dict[str, list[Any]]:
    ids = encoding.ids
    labels = [IGNORED] * len(ids)
    weights = [0.0] * len(ids) if weighted else None
    for start, end, weight in ranges:
        first, stop = token_range(encoding, start, end, characters)
        labels[first:stop] = ids[first:stop]
        if weights is not None:
            weights[first:stop] = [weight] * (stop - first)
    sequence = {"input_ids": ids, "labels": labels}
    return sequence if weights is None else {**sequence, "weights": weights}


def token_range(encoding: Any, start: int, end: int, characters: int) -> tuple[int, int]:
    """The tokens that hold at least one character of a span; one that crosses its edge belongs to it.

    Args:
        encoding: a `tokenizers.Encoding` with offsets.
        start, end: characters of the text, end exclusive.
        characters: length of the text.

    Returns: first token and the one after the last; both the same for a span without tokens.
    """
    first = _token_at(encoding, start, end)
    if first is None:
        return 0, 0
    stop = _token_at(encoding, end, characters)
    if stop is None:
        return first, len(encoding)
    crosses = encoding.token_to_chars(stop)[0] < end
    return first, stop + 1 if crosses else stop


def _token_at(encoding: Any, start: int, end: int) -> int | None:
    """The first token at or after a character; characters that normalisation dropped stand in no token."""
    for character in range(start, end):
        token: int | None = encoding.char_to_token(character)
        if token is not None:
            return token
    return None
