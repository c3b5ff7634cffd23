"""JSON as the standard has it: what Python's parser lets through, and what it stumbles over, is said.

NaN and Infinity are not JSON; halves of surrogate pairs are no characters, and no tokenizer reads them. A key that an
object has twice is noted, for the parser keeps the last value without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

_DEEP = "it is nested too deep"
_WORD = re.compile(r"\w+|.", re.DOTALL)
_MISSING = {  # what Python's parser says, and what should stand there
    "Expecting value": "a value",
    "Expecting property name enclosed in double quotes": "a key in double quotes",
    "Expecting ':' delimiter": "a colon",
    "Expecting ',' delimiter": "a comma or the closing bracket",
}
_BEGUN = ("true", "false", "null", "-", ".")  # values that may have been cut


class JsonError(ValueError):
    """Text is not JSON; `position` is the character."""

    def __init__(self, message: str, position: int, open: bool = False, ended: bool = False) -> None:
        super().__init__(message)
        self.position = position
        self.open = open  # whether more text might make it JSON
        self.ended = ended  # whether it is JSON up to where the text ends, as of a file that was cut


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
            raise _explained(text, error) from error
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


def _explained(text: str, error: json.JSONDecodeError) -> JsonError:
    """What Python's parser found, in words that say what stands there."""
    what, position = error.msg, error.pos
    if what.startswith("Unterminated string"):
        return JsonError("a text begins and has no end", position, open=True, ended=True)
    if what.startswith("Invalid control character"):
        code, escape = ord(text[position]), json.dumps(text[position])[1:-1]
        return JsonError(f"a text holds the control character U+{code:04X}; write {escape}", position)
    if what.startswith("Invalid \\"):
        return _no_escape(text, text.rindex("\\", 0, position + 1))
    found = _WORD.match(text, position)
    if found is None or not text[position:].strip():
        return JsonError(f"{_MISSING.get(what, 'more')} is missing at the end", position, open=True, ended=True)
    word = found[0][:20]
    ended = found.end() == len(text) and any(begun.startswith(word) for begun in _BEGUN)
    trails = word in ("]", "}") and text[:position].rstrip().endswith(",")
    if trails or what.startswith("Illegal trailing comma"):
        said = "a comma stands before the closing bracket; take it away"
    else:
        said = f"{_MISSING.get(what, what)} must stand where {word} stands"
    return JsonError(said, position, open=True, ended=ended and not trails)


def _no_escape(text: str, position: int) -> JsonError:
    """Of a backslash in a text, and what follows it."""
    length = 6 if text[position + 1 : position + 2] == "u" else 2
    escape = text[position : position + length].partition('"')[0]
    said = f"{escape} is no escape of JSON; a backslash itself is written \\\\"
    return JsonError(said, position, open=True, ended=position + length > len(text))


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
