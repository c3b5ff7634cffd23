"""A client of a language server that speaks over its standard streams: what an editor would show of a text."""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

_WAIT = 60.0  # seconds for an answer


class LanguageServer:
    """The YAML language server, with one schema for all files.

    Args:
        command: the program and its arguments.
        schema: the file of the schema.
    """

    def __init__(self, command: list[str], schema: Path) -> None:
        self._settings = {"yaml": {"schemas": {schema.as_uri(): "*.yaml"}, "schemaStore": {"enable": False}}}
        self._folder, self._numbers = schema.parent, itertools.count(1)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._found: dict[str, queue.Queue[list[dict[str, Any]]]] = {}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, daemon=True).start()
        able = {"workspace": {"configuration": True}, "textDocument": {"publishDiagnostics": {}}}
        self._ask("initialize", {"processId": os.getpid(), "rootUri": self._folder.as_uri(), "capabilities": able})
        self._tell("initialized", {})
        self._tell("workspace/didChangeConfiguration", {"settings": self._settings})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def faults(self, text: str) -> list[str]:
        """What is wrong with a file, as an editor underlines it: `LINE: message`."""
        uri = self._open(text)
        found = self._found[uri].get(timeout=_WAIT)
        return [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in found]

    def completions(self, text: str) -> list[str]:
        """What may stand behind a text."""
        lines = text.split("\n")
        answer = self._at("completion", text, len(lines) - 1, len(lines[-1]))
        return [item["label"] for item in answer["items"]]

    def hover(self, text: str, word: str) -> str:
        """What is shown over a word of a text."""
        before = text[: text.index(word) + 1]
        answer = self._at("hover", text, before.count("\n"), len(before.rpartition("\n")[2]))
        return str(answer["contents"]["value"]) if answer else ""

    def _at(self, what: str, text: str, line: int, character: int) -> Any:
        place = {"textDocument": {"uri": self._open(text)}, "position": {"line": line, "character": character}}
        return self._ask(f"textDocument/{what}", place)

    def _open(self, text: str) -> str:
        number = next(self._numbers)
        uri = (self._folder / f"{number}.yaml").as_uri()
        self._found[uri] = queue.Queue()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", {"textDocument": document})
        return uri

    def _ask(self, method: str, given: Any) -> Any:
        number = next(self._numbers)
        self._send({"id": number, "method": method, "params": given})
        while (answer := self._answers.get(timeout=_WAIT))["id"] != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _tell(self, method: str, given: Any) -> None:
        self._send({"method": method, "params": given})

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(content), content))
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            length = 0
            while line.strip():
                name, _, value = line.decode().partition(":")
                length = int(value) if name.lower() == "content-length" else length
                line = self._process.stdout.readline()
            self._take(json.loads(self._process.stdout.read(length)))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._answers.put(message)
        elif message["method"] == "textDocument/publishDiagnostics":
            self._found[message["params"]["uri"]].put(message["params"]["diagnostics"])
        elif "id" in message:  # it asks for the settings, or whether it may watch files
            items = message["params"].get("items", [])
            self._send({"id": message["id"], "result": [self._settings.get(item["section"]) for item in items]})
