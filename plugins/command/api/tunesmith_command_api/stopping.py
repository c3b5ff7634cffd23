"""What of its request ended an answer: one of its strings, or one of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from .sampling_fields import SamplingFields
from .service import Service


def stop_string(service: Service, strings: Sequence[str], found: str | None, last: Sequence[int]) -> str | None:
    """The string that ended an answer: found in its text, or one token, which the engine ends it by.

    Args:
        strings: those of the request; the template may have others.
        found: what ended the text, see `Answers.stopped_by`.
        last: the last token of the answer, where it has one.
    """
    if found is not None:
        return found if found in strings else None
    if not last or last[0] in service.end_token_ids:
        return None
    encode = service.tokenizer.encode
    return next((string for string in strings if encode(string, add_special_tokens=False) == list(last)), None)


def stop_reason(
    service: Service, request: SamplingFields, reason: str | None, found: str | None, tokens: Sequence[int]
) -> str | int | None:
    """What vLLM's clients are told in `stop_reason`: a string or a token of the request; None: the model ended itself.

    Args:
        reason: why the answer ended; None while it goes on.
        found: as in `stop_string`.
        tokens: of the answer, the last ones at least.
    """
    last = list(tokens[-1:])
    if reason != "stop":
        return None
    string = stop_string(service, request.stops, found, last)
    listed = last and last[0] in (request.stop_token_ids or ()) and last[0] not in service.end_token_ids
    return last[0] if string is None and found is None and listed else string
