"""From tokens to text without what a tokenizer does beside: transformers takes ten times as long for a token or two."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

Decode = Callable[[Sequence[int]], str]

_SAMPLES = 256  # tokens that both ways are compared by
_ALIKE: weakref.WeakKeyDictionary[Any, tuple[int, bool]] = weakref.WeakKeyDictionary()  # by how many tokens there are


def decoder_of(tokenizer: Any) -> Decode:
    """What decodes the tokens of a tokenizer, special ones included.

    It is that of the Rust object within, if this writes samples as the tokenizer does: some have ways of their own.
    """
    plain: Decode = functools.partial(tokenizer.decode, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return plain
    quick: Decode = functools.partial(backend.decode, skip_special_tokens=False)
    size = len(tokenizer)
    try:
        known, alike = _ALIKE.get(tokenizer, (-1, False))
        if known != size:  # tokens may have been added
            alike = _alike(plain, quick, size)
            _ALIKE[tokenizer] = size, alike
    except TypeError:  # it cannot be a key
        return plain
    return quick if alike else plain


def _alike(one: Decode, other: Decode, size: int) -> bool:
    samples = list(range(0, size, max(size // _SAMPLES, 1)))
    runs = [samples[start : start + 8] for start in range(0, len(samples), 8)]
    return all(one(ids) == other(ids) for ids in [*([token] for token in samples), *runs])
