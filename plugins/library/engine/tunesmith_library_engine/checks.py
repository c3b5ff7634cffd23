"""What no engine can answer, refused with the same words by all."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import Engine, Request, Sampling


def check_request(engine: Engine, request: Request) -> None:
    """Refuse a request that cannot be answered whatever the engine.

    Raises: TunesmithError for an empty prompt, one that leaves no room for an answer, a logit_bias that leaves no
        probabilities, log_probs that are no number of alternatives, and an unknown adapter.
    """
    if not request.prompt:
        raise TunesmithError("the prompt is empty; an engine needs at least one token to go on from")
    limit = engine.context_length
    if limit is not None and len(request.prompt) >= limit:
        raise TunesmithError(
            f"the prompt has {len(request.prompt)} tokens; the model's context ends at {limit}.\n"
            "  shorten it, or start a new conversation"
        )
    for token, bias in request.sampling.logit_bias.items():
        if math.isnan(bias) or bias == math.inf:
            advice = "a finite number, or -inf, which forbids the token"
            raise TunesmithError(f"logit_bias={bias} of token {token} leaves no probabilities.\n  possible: {advice}")
    if request.log_probs is not None:
        check_alternatives(request.log_probs, "log_probs")
    check_adapter(engine, request.adapter)


def check_alternatives(count: int, name: str = "alternatives") -> None:
    """Raises: TunesmithError for a number of alternatives that nothing can have."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise TunesmithError(
            f"{name}={count!r} is no number of alternatives.\n"
            "  possible: 0, which gives the probabilities of the tokens alone, and whole numbers from 1 on"
        )


def check_vocabulary(request: Request, size: int) -> None:
    """Refuse tokens that a model does not have, by which a whole batch would fail.

    Args:
        size: tokens that it has.

    Raises: TunesmithError for one in the prompt or in logit_bias, and for a logit_bias that forbids all of them.
    """
    check_tokens(request.prompt, size, "the prompt")
    bias = request.sampling.logit_bias
    check_tokens(bias, size, "logit_bias")
    if sum(value == -math.inf for value in bias.values()) == size:
        raise TunesmithError(f"logit_bias forbids all {size} tokens of the model: none is left")


def check_tokens(tokens: Iterable[int], size: int, where: str) -> None:
    """Raises: TunesmithError for a token that a model of so many tokens does not have."""
    for token in tokens:
        if not 0 <= token < size:
            raise TunesmithError(f"{where} has the token {token}; the model has {size}, from 0 on")


def check_adapter(engine: Engine, adapter: str | None) -> None:
    """Raises: TunesmithError for an adapter that the engine does not have."""
    if adapter is None or adapter in engine.adapters:
        return
    advice = choices(adapter, engine.adapters) if engine.adapters else "this model has none to choose from"
    raise TunesmithError(f"there is no adapter {adapter!r}.\n{advice}")


def check_sampling(sampling: Sampling, *known: str) -> None:
    """Refuse what an engine cannot do, for engines that cannot do everything.

    Args:
        known: the names of the settings that it honours.

    Raises: TunesmithError for another one that is set and would make a difference.
    """
    for name, neutral in _NEUTRAL.items():
        value = getattr(sampling, name)
        if name not in known and value is not None and value != neutral:
            raise TunesmithError(f"this engine has no {name}; leave it out, or choose another engine")


_NEUTRAL = {  # the values that change nothing
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logit_bias": {},
    "stop_token_ids": (),
    "grammar": None,
}
