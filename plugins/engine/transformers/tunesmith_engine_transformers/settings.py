"""How transformers is to generate: the model's own defaults, what was asked over them, and what ends an answer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

from tunesmith.types import Sampling
from tunesmith_library_chat import ChatTemplate

from .answer import Ending


def generation_config(model: Any, wanted: Sampling, max_new_tokens: int, ending: Ending) -> Any:
    """Make a GenerationConfig.

    Tokens are drawn when a temperature above 0 is asked, or top_p or top_k without temperature; greedy at 0;
    and as the model's generation_config.json says when none of them is asked.
    """
    config = copy.deepcopy(model.generation_config)
    narrowed = wanted.top_p is not None or wanted.top_k is not None
    draws = bool(config.do_sample) or narrowed if wanted.temperature is None else wanted.temperature > 0
    config.do_sample = draws
    # Neutral values instead of None: transformers fills None from the model's defaults again.
    config.temperature = _first(wanted.temperature, config.temperature, 1.0) if draws else 1.0
    config.top_p = _first(wanted.top_p, config.top_p, 1.0) if draws else 1.0
    config.top_k = _first(wanted.top_k, config.top_k, 0) if draws else 50
    config.repetition_penalty = _first(wanted.repetition_penalty, config.repetition_penalty, 1.0)
    config.max_new_tokens, config.max_length = max_new_tokens, None
    config.use_cache = True  # training switches it off
    config.num_beams, config.num_return_sequences = 1, 1
    config.eos_token_id = sorted(ending.tokens) or None
    config.pad_token_id = next(iter(config.eos_token_id or [0]))  # what rows that are done are filled with
    return config


def ending_of(
    template: ChatTemplate, tokenizer: Any, model: Any, stop: Sequence[str], skip_special_tokens: bool
) -> Ending:
    """What ends an answer: the template's stop strings, those that were asked, and the end-of-text tokens."""
    strings = tuple(dict.fromkeys((*template.stop, *stop)))
    own = model.generation_config.eos_token_id
    tokens = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
    for string in strings:
        ids = tokenizer.encode(string, add_special_tokens=False)
        if len(ids) == 1:
            tokens.add(ids[0])
    special = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    # A special token inside a stop string of several tokens must be seen, or the string would not be found.
    skipped = {index for index, token in special if not any(token in string for string in strings)}
    return Ending(
        tokens=frozenset(tokens),
        strings=strings,
        skipped=frozenset(skipped) if skip_special_tokens else frozenset(),
        decode=functools.partial(tokenizer.decode, skip_special_tokens=False, clean_up_tokenization_spaces=False),
    )


def context_length(model: Any) -> int | None:
    """Tokens that the model has positions for; None when it does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)
