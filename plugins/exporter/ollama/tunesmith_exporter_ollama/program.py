"""Ollama itself, where it is installed and runs: a model is made of the folder, asked, and removed again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

_PLACE = "http://127.0.0.1:11434"
_SECONDS = 600
_ANSWER = 8  # tokens


@dataclass(frozen=True)
class Told:
    """What Ollama makes of a conversation."""

    tokens: int  # of the prompt, as its own template and tokenizer have it
    answer: str  # greedy


class Program:
    """An Ollama whose server answers.

    Raises: TunesmithError when a request fails.
    """

    def __init__(self, version: str, address: str) -> None:
        self.name, self._address = f"ollama {version}", address

    def create(self, folder: Path) -> str:
        """Make a model of a folder, under a name that nobody has.

        Raises: TunesmithError with what Ollama says.
        """
        name = f"tunesmith-proof-{uuid.uuid4().hex[:12]}"
        command = ["ollama", "create", name, "-f", str(folder / "Modelfile")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-400:]
            raise TunesmithError(f"ollama create refuses the folder: {said}")
        return name

    def shown(self, name: str) -> dict[str, Any]:
        """What Ollama says of a model: its template, parameters and system message."""
        return self._ask("/api/show", {"model": name})

    def told(self, name: str, turns: Sequence[Mapping[str, Any]]) -> Told:
        """Let a model answer."""
        options = {"temperature": 0, "num_predict": _ANSWER, "seed": 0}
        messages = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        said = self._ask("/api/chat", {"model": name, "messages": messages, "stream": False, "options": options})
        return Told(int(said.get("prompt_eval_count", 0)), str(said["message"]["content"]))

    def remove(self, name: str) -> None:
        """Remove what `create` made."""
        subprocess.run(["ollama", "rm", name], capture_output=True, timeout=_SECONDS, check=False)

    def _ask(self, path: str, content: Mapping[str, Any]) -> dict[str, Any]:
        return _request(self._address + path, content, _SECONDS)


def running() -> Program | str:
    """The Ollama of this machine, or why there is none."""
    if shutil.which("ollama") is None:
        return "it is not installed"
    address = os.environ.get("OLLAMA_HOST", "") or _PLACE
    address = address if "://" in address else f"http://{address}"
    try:
        version = str(_request(f"{address}/api/version", None, 5)["version"])
    except TunesmithError as error:
        return f"its server does not answer ({error}); start it: ollama serve"
    return Program(version, address)


def _request(address: str, content: Mapping[str, Any] | None, seconds: float) -> dict[str, Any]:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            found: dict[str, Any] = json.loads(answer.read())
    except (OSError, ValueError, KeyError) as error:
        raise TunesmithError(f"{address}: {error}") from error
    return found
