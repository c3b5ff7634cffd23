"""What two processes say to each other: one asks, the other answers, and may ask back before it does.

A message is one line of JSON. Containers in a question are copied, and what the answerer changed in them is changed in
the asker's, as if both had been one process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import IO, Any

from .values import CONTAINERS, Packer, Parcel, Unpacker

_LONGEST = 64 << 20  # bytes of one message


class Broken(BaseException):
    """The other side is gone, or says what cannot be read. No test may catch it by `except Exception`."""


class Conversation:
    """One end. `serve(question, *values)` answers the other; `said` and `heard` carry what was printed."""

    def __init__(self, read: IO[bytes], write: IO[bytes], packer: Packer, unpacker: Unpacker) -> None:
        self._read, self._write = read, write
        self._packer, self._unpacker = packer, unpacker
        self._lock = threading.RLock()
        self.serve: Callable[..., Any]
        self.said: Callable[[], str] = str
        self.heard: Callable[[str], None] = lambda text: None
        self.broken = False

    def ask(self, question: str, *values: Any) -> Any:
        """Raises: what the answerer raised; Broken when there is no answer."""
        with self._lock:
            parcel = Parcel()
            packed = [self._packer.pack(value, parcel) for value in values]
            self._send({"ask": question, "values": packed})
            while "ask" in (message := self._receive()):
                self._answer(message)
            return self._result(message, parcel)

    def listen(self) -> None:
        """Answer until the other side is gone."""
        while True:
            self._answer(self._receive())

    def _result(self, message: dict[str, Any], parcel: Parcel) -> Any:
        try:
            for number, items in message["changed"]:
                self._unpacker.fill(parcel.containers[number], items, parcel)
            value = self._unpacker.unpack(message["value"], parcel)
            raised = message["raised"]
            if raised and not isinstance(value, BaseException):
                raise TypeError("what was raised is no exception")
        except Exception as error:
            raise self._end(error) from error
        if raised:
            raise value
        return value

    def _answer(self, message: dict[str, Any]) -> None:
        parcel = Parcel()
        raised = False
        try:
            values = [self._unpacker.unpack(value, parcel) for value in message["values"]]
            known = range(len(parcel.containers))
            before = [self._items(number, parcel) for number in known]
        except Exception as error:
            raise self._end(error) from error
        try:
            value = self.serve(message["ask"], *values)
        except Broken:
            raise
        except BaseException as error:
            value, raised = error, True
        self._send(self._reply(value, raised, before, parcel))

    def _reply(self, value: Any, raised: bool, before: list[Any], parcel: Parcel) -> dict[str, Any]:
        try:
            after = ((number, self._items(number, parcel)) for number in range(len(before)))
            changed = [[number, items] for number, items in after if items != before[number]]
            return {"value": self._packer.pack(value, parcel), "raised": raised, "changed": changed}
        except Exception as error:  # of an object that cannot be described, or is too deep
            told = type(error) if type(error).__module__ == "builtins" else TypeError
            return {"value": self._packer.pack(told(str(error)), Parcel()), "raised": True, "changed": []}

    def _items(self, number: int, parcel: Parcel) -> list[Any]:
        container = parcel.containers[number]
        return self._packer.items(container, parcel) if type(container) in CONTAINERS else []

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._write.write(json.dumps({**message, "said": self.said()}).encode() + b"\n")
            self._write.flush()
        except OSError as error:
            raise self._end(error) from error

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._read.readline(_LONGEST)
            message: dict[str, Any] = json.loads(line)
            self.heard(message["said"])
            return message
        except Exception as error:
            raise self._end(error) from error

    def _end(self, error: Exception) -> Broken:
        self.broken = True
        return Broken(f"the conversation ended: {type(error).__name__}")
