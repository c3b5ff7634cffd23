"""All models that are loaded, and what is kept of conversations with them."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.chats.conversations import Conversations
from tunesmith_library_studio.chats.media import MediaFiles
from tunesmith_library_studio.chats.naming import arguments_of
from tunesmith_library_studio.chats.served import Loaded, Served
from tunesmith_library_studio.chats.votes import Votes
from tunesmith_library_studio.chats.watching import ChatsWatcher
from tunesmith_library_studio.workspace import Workspace

_IDLE = 30 * 60.0  # seconds without a question after which a model is unloaded
_MOST = 2  # models at a time
_KEPT = 8  # that failed or were unloaded, of which one may still want to know why
_OLD = 7 * 86_400.0  # seconds after which a log goes that a front end left when it was killed


class Chats:
    """Loads models, has them answer, lets them go.

    Args:
        most: models that are loaded at a time.
        idle: seconds without a question after which one is unloaded.
        program: what `tunesmith` is called by.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        most: int = _MOST,
        idle: float = _IDLE,
        program: Sequence[str] = (sys.executable, "-m", "tunesmith"),
    ) -> None:
        self.workspace = workspace
        self._most, self._idle, self._program = most, idle, tuple(program)
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()

    @cached_property
    def conversations(self) -> Conversations:
        """Those that are kept."""
        return Conversations(self.workspace.state / "conversations")

    @cached_property
    def media(self) -> MediaFiles:
        """Images, sounds and videos of conversations."""
        return MediaFiles(self.workspace.state / "conversations" / "media")

    @cached_property
    def votes(self) -> Votes:
        """Which of two answers was better."""
        return Votes(self.workspace.state / "votes.jsonl")

    # ---- models

    def load(
        self,
        source: str,
        overrides: Mapping[str, Any] | None = None,
        device: str | None = None,
        *,
        anyway: bool = False,
    ) -> Loaded:
        """Begin to load a model; it is ready when `get` says so.

        Args:
            source: a run, a checkpoint of one, an export, an adapter, a model's folder or file, an address on a hub.
            overrides: of its configuration: `{"engine": "vllm", "quantizer": "bitsandbytes"}`.
            device: the number of a GPU, or `cpu`; by default the machine's choice.
            anyway: also where the plan says that it does not fit.

        Raises: TunesmithError for what names no model, and where as many as may be are loaded.
        """
        given = dict(overrides or {})
        arguments = arguments_of(self.workspace, source, given)
        if device is not None and not all(part.isalnum() or part in ",-" for part in device):
            raise TunesmithError(f"{device!r} is no device.\n  possible: cpu, the number of a GPU, several as 0,1")
        made = Loaded(secrets.token_hex(6), self._shown(arguments[0]), given, device, created=time.time())
        served = Served(
            made,
            arguments,
            self._logs() / f"{made.id}.log",
            self.workspace.root,
            program=self._program,
            idle=self._idle,
            anyway=anyway,
        )
        with self._lock:
            self._refuse_more()
            self._forget_old()
            self._served[made.id] = served
        served.start()
        return served.loaded

    def _shown(self, named: str) -> str:
        """An address, or a path as users write it, from the argument that names a model."""
        _, is_address, address = named.partition("model.path=")
        return address if is_address else self.workspace.shown(Path(named))

    def find(self, source: str) -> Loaded | None:
        """The one that is loaded, or being loaded, from a source without overrides; None where there is none.

        Raises: TunesmithError for what names no model.
        """
        shown = self._shown(arguments_of(self.workspace, source, {})[0])
        return next((each for each in self.list() if each.alive and each.source == shown and not each.overrides), None)

    def _logs(self) -> Path:
        """Their folder, without those that nobody asks for any more."""
        folder = self.workspace.state / "chats"
        folder.mkdir(exist_ok=True)
        for log in folder.glob("*.log"):
            if time.time() - log.stat().st_mtime > _OLD and log.stem not in self._served:
                log.unlink(missing_ok=True)
        return folder

    def _refuse_more(self) -> None:
        alive = [served.loaded.source for served in self._served.values() if served.loaded.alive]
        if len(alive) >= self._most:
            raise TunesmithError(
                f"{len(alive)} models are loaded, and no more may be at a time: {', '.join(alive)}.\n"
                "  unload one of them first"
            )

    def _forget_old(self) -> None:
        old = [key for key, served in self._served.items() if not served.loaded.alive]
        for key in old[: max(0, len(old) - _KEPT)]:
            self._served.pop(key).log.unlink(missing_ok=True)

    def watcher(self) -> ChatsWatcher:
        """What tells of changes: the topic `chats`."""
        return ChatsWatcher(self.list)

    def list(self) -> list[Loaded]:
        """All that are loaded, and those that lately were or could not be; the newest last."""
        return [served.loaded for served in list(self._served.values())]

    def get(self, id: str) -> Loaded:
        """How one stands. Raises: TunesmithError for one that is not there."""
        return self.served(id).loaded

    def served(self, id: str) -> Served:
        """The process of one. Raises: TunesmithError for one that is not there."""
        if id not in self._served:
            raise TunesmithError(f"no model {id!r} is loaded.\n  load it again")
        return self._served[id]

    def wait(self, id: str, seconds: float) -> Loaded:
        """How one stands when it is ready or has failed; or after so many seconds."""
        return self.served(id).wait(seconds)

    def unload(self, id: str) -> None:
        """Let one go, and forget it; answers that are written end."""
        served = self.served(id)
        served.end()
        self._served.pop(id, None)
        served.log.unlink(missing_ok=True)

    def close(self) -> None:
        """Let all go."""
        threads = [threading.Thread(target=served.end) for served in self._served.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # ---- answers

    def answer(self, id: str, messages: Sequence[Mapping[str, Any]], **sampling: Any) -> str:
        """What a model answers to a conversation, as text.

        Args:
            messages: as OpenAI's API has them.
            sampling: further fields of a request, such as `temperature`, `max_tokens`.

        Raises: TunesmithError where it is not ready, or refuses, in its own words.
        """
        served = self.served(id)
        with served.answering():
            made = served.post("/v1/chat/completions", {**sampling, "messages": list(messages), "stream": False})
        return str(made["choices"][0]["message"]["content"] or "")

    async def ask(self, id: str, body: bytes) -> AsyncIterator[tuple[int, str, bytes]]:
        """Pass a request on to a model's server, and what it answers back, as it comes.

        Args:
            body: a request of OpenAI's chat completions as JSON.

        Yields: the status, the type of what comes, and a piece of it; the first one with no piece.
        Raises: TunesmithError where it is not ready.
        """
        from tunesmith_library_studio.chats.relaying import relayed

        async for each in relayed(self.served(id), self.media, body):
            yield each
