"""Responses that later requests go on from, in memory: the oldest go when there are too many."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .answering import Answers
from .errors import ApiError, invalid

_MOST_BYTES = 64 * 2**20  # of all items together


@dataclass
class Stored:
    """A response, and the conversation that it is the end of."""

    response: dict[str, Any]
    given: list[dict[str, Any]]  # all items that it answers, those of the responses before it among them
    own: Sequence[dict[str, Any]] = ()  # those that came with its request
    answers: Answers | None = field(default=None, repr=False)  # while it is made
    cancelled: bool = False

    @property
    def items(self) -> list[dict[str, Any]]:
        """The whole conversation."""
        return [*self.given, *self.response["output"]]

    @property
    def size(self) -> int:
        """Bytes, about, of what it does not share with the responses before it."""
        return len(json.dumps([*self.own, self.response]))


class Store:
    """Keeps responses.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, Stored] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def put(self, stored: Stored) -> None:
        """Keep a response, or what has become of it; the oldest make room."""
        name = stored.response["id"]
        self._kept[name], self._sizes[name] = stored, stored.size
        while len(self._kept) > self._most or (len(self._kept) > 1 and sum(self._sizes.values()) > _MOST_BYTES):
            self._forget(next(iter(self._kept)))

    def renew(self, stored: Stored) -> None:
        """Keep what has become of a response, unless it was forgotten meanwhile."""
        if stored.response["id"] in self._kept:
            self.put(stored)

    def get(self, name: str) -> Stored:
        """Raises: ApiError for a response that is not kept."""
        if name not in self._kept:
            raise ApiError(404, f"there is no response {name!r}; {self._reach}", param="response_id")
        return self._kept[name]

    def before(self, name: str) -> Stored:
        """The response that a request goes on from. Raises: ApiError where it is not kept, or not ended."""
        if name not in self._kept:
            message = f"there is no response {name!r} to go on from; {self._reach}"
            raise invalid(message, "previous_response_id", "previous_response_not_found")
        if self._kept[name].answers is not None:
            raise invalid(f"the response {name!r} has not ended yet", "previous_response_id")
        return self._kept[name]

    def item(self, name: str | None, place: str) -> dict[str, Any]:
        """An item of any response that is kept, by its id. Raises: ApiError."""
        for stored in reversed(self._kept.values()):
            for item in stored.items:
                if name is not None and item.get("id") == name:
                    return item
        raise ApiError(404, f"{place}: there is no item {name!r}; {self._reach}", param=place)

    def delete(self, name: str) -> None:
        """Raises: ApiError for a response that is not kept."""
        stored = self.get(name)
        if stored.answers is not None:
            stored.cancelled = True
            stored.answers.cut()
        self._forget(name)

    def drop(self, stored: Stored) -> None:
        """Forget a response, if it is kept."""
        if stored.response["id"] in self._kept:
            self._forget(stored.response["id"])

    def _forget(self, name: str) -> None:
        del self._kept[name], self._sizes[name]

    @property
    def _reach(self) -> str:
        return f"the last {self._most} are kept, while the server runs, of requests without store: false"
