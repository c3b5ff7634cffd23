"""Token ids to /completions, and what it says as deltas."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Delta, FinishReason, LogProb, Request, Sampling

from .client import Client
from .servers import Server, sampling_fields

_REASONS: Mapping[str, FinishReason] = {"length": "length", "abort": "cancelled"}
_MOST_STRINGS = 4  # that end an answer, of a server that takes them in the place of tokens
_NAMED = "token_id:"  # before a token's number, where it stands for the token's text

Encode = Callable[[str], Sequence[int]]


def completion_fields(server: Server, request: Request, defaults: Sampling, limit: int, words: Sequence[str]) -> Any:
    """The body of a request, without the model's name.

    Args:
        words: the tokens that end the answer, as text, for a server that does not take their numbers.

    Raises: TunesmithError for what the server does not know.
    """
    fields = {
        "prompt": list(request.prompt),
        "max_tokens": limit,
        **sampling_fields(server, request.sampling, defaults),
        **server.tokens,
    }
    if "stop_token_ids" in server.sampling:
        fields["stop_token_ids"] = list(request.sampling.stop_token_ids)
    elif words and not server.tokens:
        if len(words) > _MOST_STRINGS:
            logger.warning("%s end an answer; a server of the kind %s takes 4 of them", ", ".join(words), server.name)
        fields["stop"] = list(words)[:_MOST_STRINGS]
    if request.log_probs is not None:
        if not server.tokens:
            raise TunesmithError(f"a server of the kind {server.name} says no tokens, and so no probabilities of them")
        if request.log_probs and not server.numbers:
            raise TunesmithError(
                f"a server of the kind {server.name} names alternatives by their text, which several tokens may have.\n"
                "  log_probs=0 gives the probabilities of the answer's tokens alone"
            )
        fields["logprobs"] = max(request.log_probs, 1)
    return fields


async def completed(
    client: Client, body: Mapping[str, Any], request: Request, ends: Sequence[int], encode: Encode | None
) -> AsyncGenerator[Delta, None]:
    """The answer to a request.

    Args:
        ends: tokens that end it, the likeliest first.
        encode: text to tokens, where the server says none: the answer then comes as a whole.

    Raises: TunesmithError for what is no answer.
    """
    text, told = "", set(ends)
    async for said in client.stream("completions", body):
        choice = next(iter(said.get("choices") or ()), None)
        if choice is None:
            continue
        reason = choice.get("finish_reason")
        text += choice.get("text") or ""
        ids = tokens_of(choice) if encode is None else []
        if encode is None and not ids and (choice.get("text") or "") and not reason:
            raise TunesmithError(
                f"{client.url}/completions says text, and not which tokens it is.\n"
                "  engine.server=openai reads it with the tokenizer that is here"
            )
        if encode is not None and reason:
            ids = list(encode(text))
        probabilities = _log_probs(choice, len(ids), request.log_probs)
        end = next((place for place, token in enumerate(ids) if token in told), None)
        if end is not None:
            yield Delta(tuple(ids[: end + 1]), probabilities[: end + 1], "stop")
            return
        if reason:
            yield _last(ids, probabilities, reason, choice.get("stop_reason"), ends)
            return
        if ids:
            yield Delta(tuple(ids), probabilities)
    raise TunesmithError(f"{client.url}/completions ended an answer without saying why")


def _last(
    ids: list[int], probabilities: tuple[LogProb, ...], reason: str, stop_reason: Any, ends: Sequence[int]
) -> Delta:
    """The end of an answer, with the token that ended it, which not every server says."""
    if reason == "content_filter":
        logger.warning("the server's filter ended an answer")
    found = _REASONS.get(reason, "stop")
    if found == "stop":
        ids = [*ids, stop_reason if isinstance(stop_reason, int) else ends[0]]
        probabilities = (*probabilities, LogProb(0.0)) if probabilities else ()
    return Delta(tuple(ids), probabilities, found)


def tokens_of(choice: Mapping[str, Any]) -> list[int]:
    """The tokens of a part of an answer, wherever the server says them."""
    if isinstance(choice.get("token_ids"), list):
        return [int(token) for token in choice["token_ids"]]
    told = choice.get("logprobs") or {}
    if isinstance(told.get("content"), list):
        return [int(entry["id"]) for entry in told["content"] if "id" in entry]
    return list(_numbers(told.get("tokens") or ()))


def _numbers(names: Iterable[str]) -> Iterable[int]:
    return (int(name.removeprefix(_NAMED)) for name in names if str(name).startswith(_NAMED))


def _log_probs(choice: Mapping[str, Any], count: int, alternatives: int | None) -> tuple[LogProb, ...]:
    """The log-probabilities of as many tokens."""
    if alternatives is None or not count:
        return ()
    told = choice.get("logprobs") or {}
    if isinstance(told.get("content"), list):
        found = [
            LogProb(
                float(entry["logprob"]),
                best({other["id"]: other["logprob"] for other in entry.get("top_logprobs", ())}, alternatives),
            )
            for entry in told["content"]
        ]
    else:
        found = list(log_probs_of(told, alternatives))
    if len(found) != count:
        raise TunesmithError(f"the server says {len(found)} log-probabilities of {count} tokens")
    return tuple(found)


def log_probs_of(told: Mapping[str, Any], alternatives: int) -> Iterable[LogProb]:
    """Those of the form of completions: `token_logprobs`, and `top_logprobs` by tokens."""
    values = told.get("token_logprobs") or []
    others = told.get("top_logprobs") or [None] * len(values)
    for value, other in zip(values, others, strict=False):
        if value is None:  # of a prompt's first token
            continue
        numbers = {int(name.removeprefix(_NAMED)): of for name, of in (other or {}).items() if name.startswith(_NAMED)}
        yield LogProb(float(value), best(numbers, alternatives))


def best(found: Mapping[int, float], count: int) -> dict[int, float]:
    """The likeliest of some tokens, best first."""
    return dict(sorted(((int(token), float(value)) for token, value in found.items()), key=lambda one: -one[1])[:count])
