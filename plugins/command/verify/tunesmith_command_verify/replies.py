"""What a server answered, in the forms that servers give."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith import TunesmithError


@dataclass(frozen=True)
class Reply:
    """One answer."""

    text: str
    pieces: tuple[bytes, ...]  # of each token; () of a server that gives no log-probabilities
    log_probs: tuple[float, ...]  # of each token, in nats
    prompt_tokens: int | None  # how many it counted
    answer_tokens: int | None
    finish: str  # stop, length, …
    hidden: bool  # a thought was taken out of the text


def reply_of(said: Mapping[str, Any]) -> Reply:
    """Read the answer of `chat/completions`.

    Raises: TunesmithError for what is none.
    """
    try:
        choice = said["choices"][0]
        message, usage = choice["message"], said.get("usage") or {}
        content = message.get("content") or ""
        listed = (choice.get("logprobs") or {}).get("content") or []
        pieces = tuple(_bytes(item) for item in listed)
        log_probs = tuple(float(item["logprob"]) for item in listed)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise TunesmithError(f"the server's answer is not one of chat/completions: {str(said)[:100]}") from error
    hidden = any(message.get(name) for name in ("reasoning", "reasoning_content", "tool_calls"))
    finish = str(choice.get("finish_reason") or "")
    return Reply(
        str(content),
        pieces,
        log_probs,
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        finish,
        hidden,
    )


def _count(usage: Mapping[str, Any], of: str) -> int | None:
    value = usage.get(of)
    return value if isinstance(value, int) and value > 0 else None


def _bytes(item: Mapping[str, Any]) -> bytes:
    listed = item.get("bytes")
    return bytes(listed) if listed is not None else str(item["token"]).encode()


def tokens_of(
    reply: Reply, tokenizer: Any, likeliest: Sequence[int], ends: Collection[str]
) -> tuple[list[int], tuple[float, ...]]:
    """The tokens of an answer, and their log-probabilities where each of them has one, else ().

    A text does not say of which tokens it was made: those that the trained model would have written come first, and
    white space at the ends does not count, which some servers take away.

    Args:
        likeliest: the trained model's own answer.
        ends: texts of the tokens that end an answer, which some servers list too.
    """
    pieces = list(reply.pieces)
    while pieces and (not pieces[-1] or pieces[-1].decode(errors="replace") in ends):
        pieces.pop()
    given = len(pieces) or reply.answer_tokens or len(likeliest)
    for ids in (list(likeliest[:given]), list(likeliest)):
        if tokenizer.decode(ids, skip_special_tokens=True).strip() == reply.text.strip():
            return ids, reply.log_probs[: len(ids)] if len(ids) == len(pieces) else ()
    while pieces and not _whole(pieces):
        pieces.pop()
    text = b"".join(pieces).decode() if pieces else reply.text.rstrip("\ufffd")
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    if pieces and len(ids) == len(pieces):
        return ids, reply.log_probs[: len(ids)]
    cut = reply.finish == "length" and len(ids) > 1  # what follows could have made another token of the last one
    return ids[:-1] if cut else ids, ()


def _whole(pieces: Sequence[bytes]) -> bool:
    """Whether no character is cut."""
    try:
        b"".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True


def echoed(said: Mapping[str, Any], count: int) -> tuple[float, ...] | None:
    """The log-probabilities that `completions` gives for a text's own tokens, from the second one on.

    Args:
        count: tokens that the text has.

    Returns: None where there are none, or of a text that the server reads as other tokens.
    """
    try:
        found = said["choices"][0]["logprobs"]["token_logprobs"]
        counted = (said.get("usage") or {}).get("prompt_tokens", count)
        if counted != count or len(found) < count:
            return None
        return tuple(float(value) for value in found[1:count])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
