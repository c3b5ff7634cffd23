"""JSON as the standard has it: what Python's parser lets through, and what it stumbles over, is said.

NaN and Infinity are not JSON; halves of surrogate pairs are no characters, and no tokenizer reads them. A key that an
object has twice is noted, for the parser keeps the last value without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

_DEEP = "it is nested too deep"


class JsonError(ValueError):
    """Text is not JSON; `position` is the character."""

    def __init__(self, message: str, position: int, open: bool = False) -> None:
        super().__init__(message)
        self.position = position
        self.open = open  # whether more text might make it JSON


class JsonDecoder:
    """Decodes values out of a text."""

    def __init__(self) -> None:
        self.repeated: list[str] = []  # keys that objects had twice; the caller may empty it
        self._decode = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=_refuse).raw_decode

    def decode_at(self, text: str, start: int) -> tuple[Any, int]:
        """The value that begins at a character, and where it ends.

        Raises: JsonError.
        """
        try:
            value, end = self._decode(text, start)
        except json.JSONDecodeError as error:
            raise JsonError(error.msg, error.pos, open=True) from error
        except RecursionError as error:
            raise JsonError(_DEEP, start) from error
        except ValueError as error:  # of `_refuse`, or of an integer that Python does not read
            known = isinstance(error, _NotJson)
            raise JsonError(str(error) if known else "a number has too many digits", start) from error
        if text.find("\\ud", start, end) >= 0 or text.find("\\uD", start, end) >= 0:
            where = half_pair(value)
            if where is not None:
                raise JsonError(f"half of a surrogate pair, which is no character{where and f', in `{where}`'}", start)
        return value, end

    def decode(self, text: str) -> Any:
        """The value of a whole text. Raises: JsonError."""
        start = len(text) - len(text.lstrip())
        value, end = self.decode_at(text, start)
        if text[end:].strip():
            raise JsonError("something follows after the value", end)
        return value

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = [name for name, _ in pairs]
            self.repeated.append(next(name for name in made if names.count(name) > 1))
        return made


class _NotJson(ValueError):
    """A constant that JSON does not have."""


def _refuse(constant: str) -> NoReturn:
    raise _NotJson(f"{constant} is not JSON; write null")


def half_pair(value: Any, path: str = "") -> str | None:
    """The place of a text that holds half a surrogate pair, "" for the value itself; None when all texts are whole."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path
        return None
    if isinstance(value, Mapping):
        items = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        if any(half_pair(key) is not None for key in value):
            return path or "a key"
    else:
        items = [(f"{path}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []
    return next((found for name, item in items if (found := half_pair(item, name)) is not None), None)
