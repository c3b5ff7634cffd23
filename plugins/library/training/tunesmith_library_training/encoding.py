"""Conversations to token ids and labels. Jinja renders, the Rust tokenizer tokenises all rows at once, and the trained
tokens are found from the template's character spans: no Python runs per token.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith import DataError
from tunesmith.types import IGNORED, Message, Row
from tunesmith_library_chat import ChatTemplate, Rendered, tokenize, tokenizer_of
from tunesmith_library_chat.tokenizing import special_ids
from tunesmith_library_media.expanding import expanded

from tunesmith_library_training import media
from tunesmith_library_training.cutting import cut_of
from tunesmith_library_training.lost_thoughts import count_lost_thoughts
from tunesmith_library_training.rows import variables_of
from tunesmith_library_training.turns import contents_of
from tunesmith_library_training.weighing import Weighing, checked, weight_of

Weighted = list[tuple[int, int, float]]
"""Ranges of characters, ends exclusive, and what their tokens weigh."""


@dataclass(frozen=True)
class Spans:
    """Which parts of a conversation are trained, and what they weigh."""

    whole: bool = False  # all tokens
    last_only: bool = False  # of the assistant's turns only the last
    by_message: bool = False  # read the messages' `weight`
    by_row: bool = False  # read the row's `weight`
    rules: Weighing | None = None  # of the user, for one call of `encode`
    template: ChatTemplate | None = None  # by which others' messages are found where the whole is trained

    @property
    def weighted(self) -> bool:
        """Whether tokens have other weights than 0 and 1."""
        return self.by_message or self.by_row or self.rules is not None

    def of(self, row: Row, rendered: Rendered) -> Weighted:
        """What is trained, without weights in the order of the text.

        Where ranges share a token the last of them counts; of weight 0 is what is not trained.
        Raises: DataError for weights that are not read, or none.
        """
        messages = row["messages"]
        scale = checked(row.get("weight"), "a row") if self.by_row else 1.0
        spans = rendered.spans[-1:] if self.last_only and not self.whole else rendered.spans
        said = [(span.start, span.end, scale * self._weight_of(messages[span.message])) for span in spans]
        if self.whole:
            ranges = [(0, len(rendered.text), scale), *(found for found in said if found[2] != scale)]
            ranges += self._others(row, rendered, scale)
        else:
            ranges = [found for found in said if found[2]]
        if self.rules is not None:
            held = self.rules.ranges(row, rendered, spans)
            ranges += [
                (start, end, scale * weight * self._weight_of(messages[message]))
                for start, end, weight, message in held
            ]
        return ranges

    def _others(self, row: Row, rendered: Rendered, scale: float) -> Weighted:
        """What others than the assistant say, where it has a weight of its own."""
        weights = {index: self._weight_of(message) for index, message in enumerate(row["messages"])}
        if self.template is None or all(weight == 1 for weight in weights.values()):
            return []
        places = contents_of(row, rendered, self.template).items()
        return [(start, end, scale * weights[index]) for index, (start, end) in places if weights[index] != 1]

    def _weight_of(self, message: Message) -> float:
        if message.get("weight") is None:
            return 1.0
        weight = weight_of(message)
        if weight not in (0.0, 1.0) and not self.by_message:
            raise DataError(f"a message has the weight {weight:g}: set stage.message_weights=true to use it")
        return weight


class Encoded(dict[str, list[Any]]):
    """A tokenised conversation: its columns, and what was cut off of it."""

    length: int  # tokens before it was cut
    unfinished: bool = False  # whether it ends within an answer, of which the beginning is trained

    @functools.cached_property
    def trained(self) -> int:
        """How many tokens are learned, once it is cut: the first one is predicted by none."""
        return len(self["labels"]) - 1 - self["labels"][1:].count(IGNORED) if self["labels"] else 0


def encode_conversations(
    rows: Sequence[Row],
    processor: Any,
    template: ChatTemplate,
    spans: Spans,
    most: int | None = None,
    *,
    turns: bool = False,
) -> list[Encoded]:
    """Tokenise conversations: rows with `messages`, and `tools` and `enable_thinking` if any.

    Args:
        most: tokens, of which longer ones lose their end; None cuts none.
        turns: they lose all behind the last answer that is whole.

    Returns: one sequence per row: `input_ids`, `labels` (the token itself, or -100), with `spans.weighted` the
        `weights` of the labels (0 where not trained), and `images`, `videos`, `audios` of those that the model takes.
    Raises: DataError for rows that the template refuses, and for items that the model does not take.
    """
    rows = [media.held(row, processor) for row in rows]
    rendered = [template.render(row["messages"], row.get("tools"), training=True, **variables_of(row)) for row in rows]
    if not rendered:
        return []
    count_lost_thoughts(rows, rendered, template)
    shown = [expanded(processor, item, row) for row, item in zip(rows, rendered, strict=True)]
    encodings = tokenize(tokenizer_of(processor), shown, control=template.control)
    cutting = _Cutting(template, most, turns)
    return [
        _sequence(row, item, encoding, processor, spans, cutting)
        for row, item, encoding in zip(rows, shown, encodings, strict=True)
    ]


@dataclass(frozen=True)
class _Cutting:
    """How conversations that are too long are cut; see `encode_conversations`."""

    template: ChatTemplate
    most: int | None
    turns: bool


def _sequence(row: Row, item: Rendered, encoding: Any, processor: Any, spans: Spans, cutting: _Cutting) -> Encoded:
    """One conversation, labelled and cut."""
    sequence = Encoded(_label(encoding, len(item.text), spans.of(row, item), spans.weighted))
    sequence.length = tokens = len(sequence["input_ids"])
    ranges = media.token_ranges(encoding, item)
    media.unlearn(sequence, ranges)
    if cutting.most is not None and sequence.length > cutting.most:
        cut = cut_of(row, item, encoding, cutting.most, cutting.template, turns=cutting.turns)
        control = set(special_ids(tokenizer_of(processor)).values()) if ranges else ()
        tokens = media.before_items(cut.tokens, ranges, encoding.ids, control)
        sequence.unfinished = cut.unfinished and sequence["labels"][tokens - 1] != IGNORED
        sequence.update({name: values[:tokens] for name, values in sequence.items()})
    sequence.update(media.shown(row, item, ranges, tokens, processor))
    return sequence


def _label(encoding: Any, characters: int, ranges: Weighted, weighted: bool) -> dict[str, list[Any]]:
    ids = encoding.ids
    labels = [IGNORED] * len(ids)
    weights = [0.0] * len(ids) if weighted else None
    for start, end, weight in ranges:
        first, stop = token_range(encoding, start, end, characters)
        labels[first:stop] = ids[first:stop] if weight else [IGNORED] * (stop - first)
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
