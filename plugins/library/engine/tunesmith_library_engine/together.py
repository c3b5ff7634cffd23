"""Requests that are begun together, so that what is computed with what does not depend on how fast they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunesmith.types import Answer, Engine, Request


def submit_all(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """Begin answers together.

    An engine with a method of this name begins none before all are there. Its answers are then the same to the bit
    whenever it is asked the same; of another one the sums that round may come in another order.

    Raises: TunesmithError, as `submit` does, for one that cannot be honoured; then none of them is answered.
    """
    together: Callable[[Sequence[Request]], list[Answer]] | None = getattr(engine, "submit_all", None)
    return submitted(engine, requests) if together is None else together(requests)


def submitted(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """Submit requests one by one; all or none.

    Raises: TunesmithError, as `submit` does.
    """
    answers: list[Answer] = []
    try:
        for request in requests:
            answers.append(engine.submit(request))
    except BaseException:
        for answer in answers:
            answer.cancel()
        raise
    return answers
