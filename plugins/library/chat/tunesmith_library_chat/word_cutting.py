"""Cutting texts into words as a tokenizer does: by its regular expression, in another engine, which is proven.

Two engines could differ in what an expression means, or in what Unicode says of a character. So only expressions of a
known syntax are taken, their words of short texts of all kinds of characters are compared, and so are those around each
character when it is first met.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Set
from typing import Any

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ITEM = r"\\p\{[A-Z][a-z]?\}|\\[srntSfv]|\\?[/.*?+|$-]|[\w'!,:;<=>@`~%#\" ]"
_SYNTAX = re.compile(  # regular expressions that mean the same to `regex` and to the tokenizer
    rf"(?:\(\?(?:i:|:|!|=)|[()|]|(?:{_ITEM}|\[\^?(?:{_ITEM})+\])(?:\{{\d+(?:,\d*)?\}}(?!\+)|[*+?][+]?)?)*", re.ASCII
)
_KINDS = ("a", "S", "1", " ", "\n", "\r", "\t", "!", "'", "/", "é", "中", "\u0301")
_AROUND = (
    *("{}a", "1{}1", " {}", "{} ", "  {} a", "\n{}\n", "!{}!", " !{}", "'{}", "'l{}", "'{}l", "'{}e", "'r{}", "'v{}"),
    *("a'{}", "{}'s", "a{}b", "A{}A", "/{}/", "\t{}\r\n", "{}{}"),
)
_IN_ASCII, _IN_ANY = ";".join(_AROUND), ";".join((*_AROUND, "\u0301{}", "{}\u0301"))


class Cutter:
    """Cuts texts without added tokens into words.

    Args:
        backend: a `tokenizers.Tokenizer`.

    Raises: ValueError for one that cuts texts otherwise.
    """

    def __init__(self, backend: Any) -> None:
        import regex

        self._composes = backend.normalizer is not None
        self._pre_tokenizer = backend.pre_tokenizer
        pattern = _pattern_of(json.loads(backend.pre_tokenizer.__getstate__()))
        self._any = regex.compile(pattern)
        try:
            self._ascii: Any = re.compile(_in_ascii(pattern), re.ASCII)  # twice as fast
        except re.error:
            self._ascii = self._any
        self._proven: set[str] = set()
        self._unproven: set[str] = set()
        for length in (1, 2, 3):
            for characters in itertools.product(_KINDS, repeat=length):
                if not self._cuts_alike("".join(characters)):
                    raise ValueError(f"the tokenizer cuts {''.join(characters)!r} otherwise")

    def cut(self, text: str) -> list[str]:
        """The words of a text."""
        words: list[str] = (self._ascii if text.isascii() else self._any).findall(text)
        return words

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """The words of a text, one by one, with their places."""
        found: Iterator[re.Match[str]] = (self._ascii if text.isascii() else self._any).finditer(text)
        return found

    def leaves(self, text: str) -> bool:
        """Whether the tokenizer leaves a text as it is before it cuts it."""
        return not self._composes or text.isascii() or unicodedata.is_normalized("NFC", text)

    def proven(self, words: Collection[str]) -> Collection[str]:
        """The words of a text that the tokenizer has too."""
        found: Set[str] = set().union(*words)
        for character in found - self._proven - self._unproven:
            (self._proven if self._is_proven(character) else self._unproven).add(character)
        if not self._unproven:
            return words
        return [word for word in words if self._unproven.isdisjoint(word)]

    def _is_proven(self, character: str) -> bool:
        """Whether a character stands in words here as it does in the tokenizer's, whatever is around it.

        What a regular expression of `_SYNTAX` makes of it is told by what it makes of it among others of each kind.
        Python may not know how characters of later versions of Unicode compose.
        """
        if self._composes and unicodedata.category(character) == "Cn":
            return False
        around = ("{}", _IN_ASCII, _IN_ANY) if character.isascii() else ("{}", _IN_ANY)
        return all(self._cuts_alike(one.replace("{}", character)) for one in around)

    def _cuts_alike(self, text: str) -> bool:
        ends = list(itertools.accumulate(map(len, self.cut(text))))
        return ends == [end for _, (_, end) in self._pre_tokenizer.pre_tokenize_str(text)]


def _pattern_of(described: dict[str, Any]) -> str:
    """The regular expression of words. Raises: ValueError."""
    steps = described["pretokenizers"] if described["type"] == "Sequence" else [described]
    last = steps[-1]
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        raise ValueError("no bytes, or a space before them")
    if len(steps) == 1 and last["use_regex"]:
        return _GPT2
    if len(steps) != 2 or last["use_regex"] or steps[0]["type"] != "Split":
        raise ValueError("texts are cut in other steps")
    split = steps[0]
    pattern = str(split["pattern"].get("Regex", ""))
    if split["behavior"] != "Isolated" or split["invert"] or not pattern or _SYNTAX.fullmatch(pattern) is None:
        raise ValueError("texts are cut otherwise")
    return pattern


def _in_ascii(pattern: str) -> str:
    """A regular expression of `_SYNTAX` for texts of ASCII alone, as `re` reads it."""
    found, inside = [], False
    for part in re.finditer(r"\\p\{(\w+)\}|\\.|.", pattern, re.DOTALL):
        written = part[0]
        if part[1]:
            kind = re.escape("".join(c for c in map(chr, range(128)) if unicodedata.category(c).startswith(part[1])))
            written = kind if inside else f"[{kind}]" if kind else "(?!)"
        elif written in ("[", "]"):
            inside = written == "["
        found.append(written)
    return "".join(found)
