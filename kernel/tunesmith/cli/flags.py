"""Flags that are keys of a configuration: `--learning_rate 1e-4` is `learning_rate=1e-4`."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Sequence

_NUMBER = re.compile(r"-[\d.]")
_NAME = re.compile(r"[A-Za-z_][\w.\[\]]*\+?")
_PLAIN = re.compile(r"[\w./:@+-]+")
_FILES = (".yaml", ".yml", ".json")


def with_overrides(words: Sequence[str], own: Collection[str]) -> list[str]:
    """A command line in which flags that are keys, of ours or of another program, are overrides.

    A flag has the words behind it up to the next one, or up to an override of a key that somebody knows, several as a
    list, none as true. What looks like an option of the command is left, and all is where no flag is anybody's key.

    Args:
        own: the options of the command, `--output`.
    """
    end = words.index("--") if "--" in words else len(words)
    flags = [word for word in words[:end] if _may_be_key(word, own)]
    return [*_rewritten(words[:end], set(flags)), *words[end:]] if _knowing(flags) else list(words)


def _may_be_key(word: str, own: Collection[str]) -> bool:
    name = word.partition("=")[0].removeprefix("--")
    options = [option.removeprefix("--") for option in own]
    return word.startswith("--") and bool(name) and not difflib.get_close_matches(name, options, 1, 0.8)


def _key(flag: str) -> str:
    return flag.partition("=")[0].removeprefix("--").replace("-", "_")


def _knowing(flags: Sequence[str]) -> bool:
    """Whether one of the flags is a key of ours, or one that an installed dialect knows."""
    if not flags:
        return False
    from tunesmith.catalog import Catalog
    from tunesmith.dialects import OURS

    keys = [_key(flag) for flag in flags]
    if any(key.partition(".")[0] in OURS for key in keys):
        return True
    readers = [getattr(cls, "knows", None) for cls in Catalog.discover().classes("dialect").values()]
    return any(knows(key) for knows in readers if knows for key in keys)


def _is_override(word: str) -> bool:
    """Whether a word is `KEY=VALUE` of a key that is ours or another program's, not a text with such a sign."""
    key, separator, _ = word.partition("=")
    return bool(separator) and _NAME.fullmatch(key) is not None and _knowing([key])


def _rewritten(words: Sequence[str], flags: Collection[str]) -> Iterator[str]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word not in flags:
            yield word
            continue
        _, separator, value = word.partition("=")
        values = [value] if separator else _values(rest)
        yield f"{_key(word)}={_written(values)}"


def _values(rest: list[str]) -> list[str]:
    """Take the words that belong to a flag: the first one, and others that are neither overrides nor files."""
    taken: list[str] = []
    while rest and (not rest[0].startswith("-") or _NUMBER.match(rest[0])) and not _is_override(rest[0]):
        if taken and ("=" in rest[0] or rest[0].endswith(_FILES)):
            break
        taken.append(rest.pop(0))
    return taken


def _written(values: Sequence[str]) -> str:
    if not values:
        return "true"
    if len(values) == 1:
        return values[0]
    return f"[{', '.join(value if _PLAIN.fullmatch(value) else json.dumps(value) for value in values)}]"
