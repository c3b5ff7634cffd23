"""What is told of models that are loaded: the topic `chats`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from tunesmith_library_studio.topics import Message

if TYPE_CHECKING:
    from tunesmith_library_studio.chats.served import Loaded


class ChatsWatcher:
    """Tells of models whose state changed.

    Args:
        listed: gives all of them as they are.
    """

    def __init__(self, listed: Callable[[], list[Loaded]]) -> None:
        self._listed, self._told = listed, listed()

    def first(self) -> list[Message]:
        """All of them."""
        return [self._message(self._listed())]

    def changes(self) -> list[Message]:
        """All of them again, where one changed."""
        now = self._listed()
        if now == self._told:
            return []
        self._told = now
        return [self._message(now)]

    @staticmethod
    def _message(models: list[Loaded]) -> Message:
        return Message("chats", "models", [asdict(each) for each in models])
