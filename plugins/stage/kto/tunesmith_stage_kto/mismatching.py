"""Which answer each prompt is compared with to see how far the model has moved on answers to others."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith.types import Message


def other_rows(prompts: Sequence[Sequence[Message]]) -> list[int | None]:
    """For each prompt the next one that is another, the first following on the last; None where all are the same.

    Unpaired preferences have good and bad answers to a prompt one after the other, which are no answers to others.
    """
    count = len(prompts)
    found: list[int | None] = []
    for index, prompt in enumerate(prompts):
        following = ((index + step) % count for step in range(1, count))
        found.append(next((other for other in following if prompts[other] != prompt), None))
    return found
