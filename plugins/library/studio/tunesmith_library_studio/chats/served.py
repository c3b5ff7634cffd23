"""One model that is loaded: a `tunesmith api` in a process of its own, from its plan to its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tunesmith import TunesmithError
from tunesmith_library_configuration.bound import bound

State = Literal["planning", "loading", "ready", "failed", "unloaded"]

_LISTENS = re.compile(r"^serving: .*\(at (http://\S+)/v1\)", re.MULTILINE)  # what the server says when it is loaded
_PAUSE = 0.1  # seconds between two looks at a process
_PLANNING = 120  # seconds that a plan may take
_GRACE = 5  # seconds to end in
_TAIL = 65_536  # bytes of a log that are looked through for a cause


@dataclass(frozen=True)
class Loaded:
    """A model that is loaded, or was to be."""

    id: str
    source: str  # an address on a hub, or a path as users write it: runs/mine
    overrides: Mapping[str, Any]
    device: str | None  # number of a GPU, or cpu; None: as the machine chooses
    state: State = "planning"
    why: str = ""  # it failed, or was unloaded
    name: str = ""  # what its server calls it
    template: str = ""
    context_length: int | None = None  # tokens
    can: Mapping[str, Any] = field(default_factory=dict)  # answers, media, tools, reasoning, switches_thinking
    adapters: tuple[str, ...] = ()  # that a request may choose in `model`
    memory: float | None = None  # bytes at its peak, by the plan
    fits: bool | None = None
    conclusion: str = ""  # of the plan, in words
    created: float = 0.0
    used: float = 0.0  # when it was asked last
    answering: int = 0  # answers that are written now
    last_line: str = ""  # of its log, while it is loaded

    @property
    def alive(self) -> bool:
        """Whether it takes memory."""
        return self.state in ("planning", "loading", "ready")


class Served:
    """The process of a model. A thread starts it, follows it and ends it.

    The thread is its own, since on Linux a process that is bound to its parent ends with the thread that started it.
    """

    def __init__(
        self,
        loaded: Loaded,
        arguments: Sequence[str],
        log: Path,
        root: Path,
        *,
        program: Sequence[str],
        idle: float,
        anyway: bool = False,
    ) -> None:
        """
        Args:
            arguments: what names the model.
            root: the folder that it runs in.
            program: what `tunesmith` is called by.
            idle: seconds without a question after which it ends.
            anyway: load it where the plan says that it does not fit.
        """
        self.key = secrets.token_urlsafe(32)
        self.url = ""
        self.log = log
        self._loaded, self._arguments, self._root, self._program = loaded, list(arguments), root, list(program)
        self._idle, self._anyway = idle, anyway
        self._lock, self._ending, self._settled = threading.Lock(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"model {loaded.id}", daemon=True)

    @property
    def loaded(self) -> Loaded:
        """How it stands."""
        return self._loaded

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait(self, seconds: float) -> Loaded:
        """How it stands when it is ready, or will not be; or after so many seconds."""
        self._settled.wait(seconds)
        return self.loaded

    def end(self, why: str = "") -> None:
        """Have it end, and wait for that."""
        self._set(why=why or self.loaded.why)
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(2 * _GRACE)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """While entered, an answer is being written: it is not idle.

        Raises: TunesmithError where it is not ready.
        """
        with self._lock:
            now = self._loaded
            if now.state != "ready":
                raise TunesmithError(f"{now.source} is not ready: {now.state}. {now.why}".rstrip())
            self._loaded = replace(now, answering=now.answering + 1, used=time.time())
        try:
            yield
        finally:
            with self._lock:
                self._loaded = replace(self._loaded, answering=self._loaded.answering - 1, used=time.time())

    def _set(self, **changed: Any) -> None:
        with self._lock:
            self._loaded = replace(self._loaded, **changed)
        if self._loaded.state not in ("planning", "loading"):
            self._settled.set()

    def _follow(self) -> None:
        try:
            self._plan()
            self._set(state="loading")
            with _started(self._command(), self._environment(), self._root, self.log) as process:
                self._await_ready(process)
                self._await_end(process)
        except (TunesmithError, OSError, ValueError) as error:
            self._set(state="failed", why=str(error))
        else:
            self._set(state="unloaded")

    def _command(self) -> list[str]:
        return bound([*self._program, "api", *self._arguments, "--port", "0", "--drain", "1"])

    def _environment(self) -> dict[str, str]:
        own = {"TUNESMITH_API_KEY": self.key, "PYTHONUNBUFFERED": "1"}
        if self.loaded.device is not None:
            own["CUDA_VISIBLE_DEVICES"] = "" if self.loaded.device == "cpu" else self.loaded.device
        return {**os.environ, **own}

    def _plan(self) -> None:
        """Raises: TunesmithError for what cannot be loaded, in the words of the plan."""
        command = [*self._program, "plan", *self._arguments, "--for", "chat", "--json"]
        environment = self._environment()
        try:
            done = subprocess.run(
                command, cwd=self._root, env=environment, capture_output=True, text=True, timeout=_PLANNING
            )
        except subprocess.TimeoutExpired as error:
            raise TunesmithError(f"the plan took more than {_PLANNING} s") from error
        try:
            plan = json.loads(done.stdout)
        except ValueError:
            raise TunesmithError(cause_in(done.stderr or done.stdout)) from None
        errors = [each["message"] for each in plan.get("problems", []) if each.get("severity", "error") == "error"]
        if errors:
            raise TunesmithError("\n".join(errors))
        peak = (plan.get("peak") or {}).get("bytes")
        self._set(memory=peak, fits=plan.get("fits"), conclusion=plan.get("conclusion") or "")
        if plan.get("fits") is False and not self._anyway:
            raise TunesmithError(
                f"{plan['conclusion']}\n  load it with fewer bits, or on another device; or load it anyway"
            )

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        while not self._ending.is_set():
            said = _tail(self.log)
            if process.poll() is not None:
                raise TunesmithError(cause_in(said) or f"its server ended with code {process.returncode}")
            if found := _LISTENS.search(said):
                self.url = found[1]
                return self._introduce()
            self._set(last_line=said.rstrip().rpartition("\n")[2][-300:])
            self._ending.wait(_PAUSE)

    def _introduce(self) -> None:
        """Ask the server what it serves."""
        own, *others = self.get("/v1/models")["data"]
        self._set(
            state="ready",
            name=own["id"],
            template=own.get("template", ""),
            context_length=own.get("max_model_len"),
            can=own.get("capabilities", {}),
            adapters=tuple(each["id"] for each in others),
            used=time.time(),
            last_line="",
        )

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        while not self._ending.wait(_PAUSE):
            if process.poll() is not None:
                raise TunesmithError(f"its server ended with code {process.returncode}\n{cause_in(_tail(self.log))}")
            now = self.loaded
            if not now.answering and time.time() - now.used > self._idle:
                return self._set(why=f"nobody asked it anything for {self._idle / 60:g} minutes")

    def get(self, path: str) -> Any:
        """What its server answers to a question without a body."""
        return self._read(path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What its server answers.

        Raises: TunesmithError in the server's own words.
        """
        return self._read(path, json.dumps(body).encode())

    def _read(self, path: str, body: bytes | None) -> Any:
        from urllib.error import HTTPError, URLError
        from urllib.request import ProxyHandler, Request, build_opener

        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            with build_opener(ProxyHandler({})).open(Request(self.url + path, body, headers)) as response:
                return json.load(response)
        except HTTPError as error:
            with contextlib.suppress(ValueError, KeyError):
                raise TunesmithError(json.load(error)["error"]["message"]) from error
            raise TunesmithError(str(error)) from error
        except (URLError, ConnectionError) as error:
            raise TunesmithError(f"{self.loaded.source} does not answer: {error}") from error


@contextlib.contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], root: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its log in a file; it, and what it started, has ended afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C at the terminal reaches it through this process
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        return file.read().decode("utf-8", "replace")


def cause_in(said: str) -> str:
    """What went wrong, from the last error that a program told on; without one its last lines."""
    _, mark, told = said.rpartition("error: ")
    if mark and "Traceback" not in told:
        return told.strip()
    lines = [line for line in said.splitlines() if line.strip()]
    return "\n".join(lines[-5:])
