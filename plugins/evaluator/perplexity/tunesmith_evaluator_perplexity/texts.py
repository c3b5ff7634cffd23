"""What a sequence says, for who reads its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tunesmith.types import IGNORED
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_training.batches import Arrays

_MOST = 512  # tokens of a text that are shown


def texts_of(sequences: Sequence[Arrays], processor: Any) -> Iterator[dict[str, str]]:
    """Of each sequence `text`, whose tokens are predicted, and `context`, the last of what stands before it.

    Names of their own: `prompt` and `answer` tell in a comparison whether two records are of one example, and models
    with different templates write the same one differently.

    Args:
        processor: of the model; without one nothing is told.
    """
    tokenizer = None if processor is None else tokenizer_of(processor)
    for sequence in sequences:
        if tokenizer is None:
            yield {}
            continue
        tokens, predicted = sequence["input_ids"], sequence["labels"] != IGNORED
        first = int(predicted.argmax())
        context = tokenizer.decode(tokens[:first][-_MOST:].tolist())
        text = tokenizer.decode(tokens[predicted][:_MOST].tolist())
        cut = int(predicted.sum()) > _MOST
        yield {"context": f"… {context}" if first > _MOST else context, "text": f"{text} …" if cut else text}
