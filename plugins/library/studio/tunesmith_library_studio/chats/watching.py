"""What is told of models that are loaded: the topic `chats`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tunesmith_library_studio.topics import Message

if TYPE_CHECKING:
    from tunesmith_library_studio.chats.chats import Chats
    from tunesmith_library_studio.chats.served import Loaded


class ChatsWatcher:
    """Tells of models whose state changed."""

    def __init__(self, chats: Chats) -> None:
        self._chats, self._told = chats, chats.list()

    def first(self) -> list[Message]:
        """All of them."""
        return [self._message(self._chats.list())]

    def changes(self) -> list[Message]:
        """All of them again, where one changed."""
        now = self._chats.list()
        if now == self._told:
            return []
        self._told = now
        return [self._message(now)]

    @staticmethod
    def _message(models: list[Loaded]) -> Message:
        return Message("chats", "models", [asdict(each) for each in models])
