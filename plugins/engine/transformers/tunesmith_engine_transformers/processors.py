"""What a model's generation_config.json asks for beside sampling, such as tokens that are never said."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch
from transformers import (
    ExponentialDecayLengthPenalty,
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    InfNanRemoveLogitsProcessor,
    LogitNormalization,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

_WHOLE = {  # they want more than one row's tokens, and the values at which they ask for nothing
    "guidance_scale": (None, 1, 1.0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "watermarking_config": (None,),
}


def unknown_processors(config: Any) -> str:
    """Which of a generation_config's wishes only transformers' own generation fulfils; empty where there is none."""
    found = [name for name, neutral in _WHOLE.items() if getattr(config, name, None) not in neutral]
    return f"its generation_config has {', '.join(found)}" if found else ""


def processors_of(config: Any, ends: Collection[int], start: int, limit: int, device: Any) -> LogitsProcessorList:
    """transformers' own, in its order, for one row.

    Args:
        config: the model's generation_config.
        ends: the tokens that end every answer.
        start: tokens of the prompt.
        limit: tokens that the answer may have.
    """
    return LogitsProcessorList(_made(config, torch.tensor(sorted(ends), device=device), start, limit, device))


def _made(config: Any, ends: Any, start: int, limit: int, device: Any) -> Iterator[Any]:
    if config.sequence_bias is not None:
        yield SequenceBiasLogitsProcessor(sequence_bias=config.sequence_bias)
    if config.no_repeat_ngram_size:
        yield NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size)
    if config.bad_words_ids is not None:
        yield NoBadWordsLogitsProcessor(config.bad_words_ids, ends)
    if config.min_length and len(ends):
        yield MinLengthLogitsProcessor(config.min_length, ends, device=device)
    if config.min_new_tokens and len(ends):
        yield MinNewTokensLengthLogitsProcessor(start, config.min_new_tokens, ends, device=device)
    if config.forced_bos_token_id is not None:
        yield ForcedBOSTokenLogitsProcessor(config.forced_bos_token_id)
    if config.forced_eos_token_id is not None:
        yield ForcedEOSTokenLogitsProcessor(start + limit, config.forced_eos_token_id, device=device)
    if config.remove_invalid_values:
        yield InfNanRemoveLogitsProcessor()
    if config.exponential_decay_length_penalty is not None:
        yield ExponentialDecayLengthPenalty(config.exponential_decay_length_penalty, ends, start)
    if config.suppress_tokens is not None:
        yield SuppressTokensLogitsProcessor(config.suppress_tokens, device=device)
    if config.begin_suppress_tokens is not None:
        begin = start if start > 1 or config.forced_bos_token_id is None else start + 1
        yield SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin, device=device)
    if config.renormalize_logits:
        yield LogitNormalization()
