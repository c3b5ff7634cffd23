"""What changes, told to whoever listens: one look for all listeners of a topic, and none where nobody listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tunesmith.errors import TunesmithError, choices

_PAUSE = 1.0  # seconds between two looks
_WAITING = 256  # messages that a slow listener may have before it; the oldest go first


@dataclass(frozen=True)
class Message:
    """One change: of the topic `run:NAME` for instance, of the kind `metrics`."""

    topic: str
    type: str
    data: Any  # as JSON has it


class Watcher(Protocol):
    """Looks at one topic; made when the first one listens, forgotten when the last has gone."""

    def first(self) -> list[Message]:
        """The state as a newcomer needs it; called in a thread, once for each listener."""
        ...

    def changes(self) -> list[Message]:
        """What happened since the last look; called in a thread, never twice at a time."""
        ...


class Topics:
    """The topics that can be listened to."""

    def __init__(self, pause: float = _PAUSE) -> None:
        self._pause = pause
        self._makers: dict[str, Callable[[str], Watcher]] = {}
        self._watched: dict[str, _Watched] = {}
        self._making = asyncio.Lock()

    def offer(self, kind: str, make: Callable[[str], Watcher]) -> None:
        """Have a topic `KIND` or `KIND:NAME`; the maker gets the name, or an empty one.

        It may raise TunesmithError where there is no such thing.
        """
        self._makers[kind] = make

    def kinds(self) -> list[str]:
        """The kinds of topics."""
        return sorted(self._makers)

    async def listen(self, names: Iterable[str]) -> AsyncGenerator[Message, None]:
        """All messages of some topics, from their states on; ends when the caller stops.

        A topic that cannot be listened to gives one message of type `error`, with the text as its data.
        """
        queue: asyncio.Queue[Message] = asyncio.Queue(_WAITING)
        joined: list[_Watched] = []
        try:
            for name in dict.fromkeys(names):
                try:
                    watched = await self._watch(name)
                    watched.listeners += 1  # before anything is awaited: it must not be let go meanwhile
                    joined.append(watched)
                    first = await watched.join(queue)
                except Exception as error:  # whatever a watcher finds wrong is told to who asked
                    first = [Message(name, "error", str(error))]
                for message in first:
                    yield message
            while True:
                yield await queue.get()
        finally:
            for watched in joined:
                if watched.leave(queue):
                    del self._watched[watched.name]

    async def _watch(self, name: str) -> _Watched:
        kind, _, rest = name.partition(":")
        if kind not in self._makers:
            raise TunesmithError(f"there is no topic {kind!r}.\n  {choices(kind, self.kinds())}")
        async with self._making:
            if name not in self._watched:
                watcher = await asyncio.to_thread(self._makers[kind], rest)
                self._watched[name] = _Watched(name, watcher, self._pause)
        return self._watched[name]


class _Watched:
    """A topic with at least one listener."""

    def __init__(self, name: str, watcher: Watcher, pause: float) -> None:
        self.name, self._watcher, self._pause = name, watcher, pause
        self._queues: set[asyncio.Queue[Message]] = set()
        self.listeners = 0
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def join(self, queue: asyncio.Queue[Message]) -> list[Message]:
        """Have a listener get what changes from now on; what it must know of before is returned."""
        async with self._looking:
            first = await asyncio.to_thread(self._watcher.first)
            self._queues.add(queue)
        self._task = self._task or asyncio.create_task(self._look())
        return first

    def leave(self, queue: asyncio.Queue[Message]) -> bool:
        """Let go of a listener; whether it was the last one."""
        self._queues.discard(queue)
        self.listeners -= 1
        if self.listeners:
            return False
        if self._task:
            self._task.cancel()
            self._task = None
        return True

    async def _look(self) -> None:
        failure = ""
        while True:
            await asyncio.sleep(self._pause)
            async with self._looking:
                try:
                    messages, failure = await asyncio.to_thread(self._watcher.changes), ""
                except Exception as error:  # a look that fails is told once, and made again
                    messages = [Message(self.name, "error", str(error))] if str(error) != failure else []
                    failure = str(error)
            for message in messages:
                for queue in self._queues:
                    if queue.full():
                        with contextlib.suppress(asyncio.QueueEmpty):
                            queue.get_nowait()
                    queue.put_nowait(message)
