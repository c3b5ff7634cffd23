"""Texts: what a text option may hold, declared beside it: `path: Annotated[str, path_like]`."""

from __future__ import annotations

import os
import re
import types
import typing
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith_library_configuration.keys import Key

_LONGEST_NAME, _LONGEST_PATH = 255, 4_095  # bytes, as file systems have it
_WRONG = re.compile("[\0\ud800-\udfff]")
_HOLDS = (list, dict, tuple, typing.Union, types.UnionType)


@dataclass(frozen=True)
class Text:
    """What a text may be, beside Unicode without NUL."""

    empty: bool = False
    path: bool = False  # a file system must be able to hold it
    in_run: bool = False  # the name of a file in a run's folder, and of none that the run itself writes
    folder: bool = False  # the name is that of a folder

    def fault(self, text: str) -> str:
        """What is wrong with a text, ready to stand behind its key; "" for nothing."""
        if not self.empty and not text.strip():
            return "cannot be empty"
        if self.path and text.startswith("~") and os.path.expanduser(text).startswith("~"):
            return f"begins with the home folder of nobody here: {text.partition('/')[0]}"
        if self.in_run and (wrong := fault_in_run(text)):
            return wrong
        parts = [os.fsencode(part) for part in text.split("/")] if self.path else []
        if any(len(part) > _LONGEST_NAME for part in parts) or sum(len(part) + 1 for part in parts) > _LONGEST_PATH:
            return f"is too long for a path: {len(text):,} characters"
        return ""


filled = Text()
"""A text that is not empty: `column: Annotated[str, filled] = "answer"`."""

path_like = Text(path=True)
"""A file, a folder, or an address: not empty, and no longer than file systems take."""


file_in_run = Text(path=True, in_run=True)
"""A file that a plugin, such as a tracker, writes into a run's folder: a plain name, and none of the run's own."""

folder_in_run = Text(path=True, in_run=True, folder=True)
"""A folder in a run's folder that a plugin writes files into; its name is like that of a file."""

_OWN = re.compile(
    r"run\.yaml|plugins\.lock|tunesmith\..*|checkpoint-.*|.*\.(safetensors|bin|pt|pth|ckpt|gguf|index\.json|lock)"
    r"|(adapter_|generation_|tokenizer_|processor_|preprocessor_|video_preprocessor_)?config\.json|base_weights\.json"
    r"|tokenizer\..*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|chat_template.*|trainer_state\.json"
    r"|modelfile|.*\.py"
)
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def fault_in_run(name: str) -> str:
    """What is wrong with the name of a file that is to be written into a run's folder; "" for nothing.

    Names are compared as file systems that know no case, and Windows, would have them.
    """
    if re.search(r'[/\\:*?"<>|\x00-\x1f]', name) or name.startswith((".", "~")) or name != name.strip().rstrip("."):
        return f"has to be a plain name of a file in the run's folder, without folders and not hidden, not {name}"
    plain = unicodedata.normalize("NFKC", name).casefold()
    if _OWN.fullmatch(plain) or _DEVICE.fullmatch(plain):
        return f"cannot be {name}, which the run writes itself, or which no file can be called"
    return ""


def text_of(annotation: Any) -> Text | None:
    """What a type declares of its text, or of the texts in it."""
    if typing.get_origin(annotation) is typing.Annotated:
        declared = (item for item in annotation.__metadata__ if isinstance(item, Text))
        return next(declared, None) or text_of(annotation.__origin__)
    inner = typing.get_args(annotation) if typing.get_origin(annotation) in _HOLDS else ()
    return next(filter(None, map(text_of, inner)), None)


def faults(value: Any, key: Key, allowed: Text | None) -> Iterator[tuple[Key, str]]:
    """The texts in a value that cannot be, each with what is wrong with it."""
    if isinstance(value, str):
        if _WRONG.search(value):
            yield key, "holds a character that is none: NUL, or half of a pair"
        elif allowed and "${" not in value and allowed.fault(value):
            yield key, allowed.fault(value)
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from faults(item, key / name, allowed)
