"""The user's language: texts are translated where they are shown, and nobody who writes one does anything for it.

A catalogue is the gettext file `locale/LANGUAGE/LC_MESSAGES/PACKAGE.po` of a package. Its msgids are lines of messages
with named fields, `{path} is empty.`, as `make messages` takes them from the code. A line that is shown is matched with
them, and the msgstr is filled with what the fields have matched. A text comes from code that has been imported, so the
catalogues of imported packages are enough, and in English none is read. What has no translation stays English.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

VARIABLES = ("TUNESMITH_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""The variables that say the language; the first that is set counts, as gettext has it."""

_BRACES = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_ENTRY = re.compile(r'(msgid|msgstr)? ?"(.*)"$')
_WORD = re.compile(r"[^\W\d_]{2}")
_LITTLE = 5  # a message with so few characters of its own has names and numbers in its fields, no words
_LETTERS = re.compile(r"[a-z]*").fullmatch
_FEW = 4  # words in each field of a phrase
_PHRASE = 15  # the same of one that is no sentence: `{count} tokens`


def language() -> str:
    """The language that the user wants and the kernel has: `zh`; `en` where there is none."""
    said = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    return best(re.split(r"[_.@]", tag)[0].lower() for tag in said.split(":"))


def best(tags: Iterable[str]) -> str:
    """The first of some languages that there is a catalogue for; `en` where there is none."""
    return next((tag for tag in tags if tag == "en" or _file(Path(__file__).parents[1], "tunesmith", tag)), "en")


def translate(text: str, to: str | None = None) -> str:
    """A text in the user's language, line by line; lines that no catalogue has stay as they are.

    Args:
        to: the language; that of `language()` by default.
    """
    wanted = language() if to is None else to
    return text if wanted == "en" or not text.strip() else _loaded(wanted).text(text)


def translate_elsewhere(text: str, to: str) -> str:
    """A text that another process may have made, so that all that is installed may have said it: for servers."""
    if to == "en":
        return text
    if to not in _installed:
        _installed[to] = Catalogue()
        _installed[to].add(entry for file in _of_installed(to) for entry in read_po(file))
    return _installed[to].text(text)


def translate_prose(text: str, to: str | None = None) -> str:
    """A documentation text, whose paragraphs are wrapped: each is one message."""
    wanted = language() if to is None else to
    return text if wanted == "en" else _loaded(wanted).prose(text)


def joined(parts: Iterable[str], separator: str) -> str:
    """Parts in the user's language, with what stands between them in it: `; `, `: `, `, `."""
    wanted = language()
    return (separator if wanted == "en" else _loaded(wanted).between(separator)).join(parts)


@dataclass
class _Message:
    """One msgid that has fields, and what it is in the other language."""

    written: str
    translated: str

    @cached_property
    def literals(self) -> list[str]:
        """What stands before, between and behind the fields."""
        return _BRACES.sub(lambda found: "\0" if found[1] else found[0][0], self.written).split("\0")

    @cached_property
    def names(self) -> list[str]:
        return [name for name in _BRACES.findall(self.written) if name]

    @cached_property
    def is_row(self) -> bool:
        """Whether it has parts with a comma or a semicolon between them."""
        return any(separator in self.written for separator in (", ", "; "))

    @cached_property
    def weight(self) -> int:
        """How many characters have to be the same."""
        return sum(map(len, self.literals))

    def may_hold(self, values: Sequence[str]) -> bool:
        """Whether it is this message: `{count} in {file}` is none of the sentences of others that have an `in`."""
        if self.weight <= _LITTLE:
            return not any(" " in value.replace(", ", ",") for value in values) and not all(map(_LETTERS, values))
        if ":" in self.written or self.written.endswith("."):
            return True
        return all(map(_balanced, values)) and (self.weight > _PHRASE or _short(values))

    @cached_property
    def longest(self) -> str:
        return max(self.literals, key=len)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        fields = [f"(?P<{name}>.*?)" for name in self.names]
        return re.compile(
            "".join(re.escape(text) + then for text, then in zip(self.literals, [*fields, ""], strict=True)), re.DOTALL
        )


@dataclass
class Catalogue:
    """The messages of some packages in one language."""

    exact: dict[str, str] = field(default_factory=dict)
    _messages: list[_Message] = field(default_factory=list)

    def add(self, entries: Iterable[tuple[str, str]]) -> None:
        """Take pairs of msgid and msgstr; those without msgstr have no translation."""
        for written, translated in entries:
            if written and translated:
                message = _Message(written, translated)
                if message.names:
                    self._messages.append(message)
                else:
                    self.exact[_filled(written, {})] = _filled(translated, {})
        self._messages.sort(key=lambda message: -message.weight)  # the most specific first

    def text(self, text: str, nested: bool = False) -> str:
        """A text, line by line; where its first line is no message, one whose fields go over several lines.

        Args:
            nested: whether it is a part of something: a single word is then a name, `train`, and no message.
        """
        lines = text.split("\n")
        made = [self._line(line, nested or len(lines) > 1) for line in lines]
        over_lines = self._found(text.strip(), True) if len(lines) > 1 and made[0] == lines[0] else None
        return "\n".join(made) if over_lines is None else over_lines

    def prose(self, text: str) -> str:
        """Paragraphs that are wrapped, each one message."""
        paragraphs = text.split("\n\n")
        return "\n\n".join(self._found(" ".join(part.split()), False) or self.text(part) for part in paragraphs)

    def _line(self, line: str, nested: bool) -> str:
        bare = line.strip()
        found = self._found(bare, nested) or self._labelled(bare) if _WORD.search(bare) else None
        return line if found is None else line.replace(bare, found, 1)

    def _found(self, text: str, nested: bool, in_a_row: bool = False) -> str | None:
        """A message's translation, None where it has none.

        Args:
            nested: see `text`.
            in_a_row: whether it is one that has separators of its own: `tried first: {count} examples, {size} tokens`.
        """
        if text in self.exact and not (nested and " " not in text):
            return self.exact[text]
        for message in self._messages:
            matched = message.longest in text and message.pattern.fullmatch(text)
            if matched and (message.is_row or not in_a_row) and message.may_hold(matched.groups()):
                values = {name: self._value(value) for name, value in matched.groupdict().items()}
                return _filled(message.translated, values)
        return None

    def _labelled(self, line: str) -> str | None:
        """A line that begins with what has a message of its own: `optimizer states: 1.2 GB`."""
        label, colon, rest = line.partition(": ")
        found = self._found(label, True) if colon and " " in label else None
        return found and f"{found}{self.between(': ')}{self._value(rest)}"

    def _value(self, value: str, separators: Sequence[str] = ("; ", ": ", ", ")) -> str:
        """What a field has matched: a name, a message, or several of them in a row."""
        if " " not in value:
            return value
        if value in self.exact:
            return self.exact[value]
        if (whole := self._found(value, True, in_a_row=True)) is not None:
            return whole
        some = None
        for number, separator in enumerate(separators):
            parts = value.split(separator)
            told = [self._value(part, separators[number + 1 :]) for part in parts] if len(parts) > 1 else parts
            if told != parts:
                row = self.between(separator).join(told)
                if not any(map(str.__eq__, told, parts)):
                    return row
                some = some or row
        made = self.text(value, nested=True)
        return some or value if made == value else made

    def between(self, separator: str) -> str:
        """What stands between the parts of a line, as the language has it."""
        shown = f"…{separator}…"
        return self.exact.get(shown, shown)[1:-1]


def _short(values: Sequence[str]) -> bool:
    return all(len(value.replace(", ", ",").split()) <= _FEW for value in values)


def _balanced(value: str) -> bool:
    """Whether each parenthesis that ends in a text begins in it, and the other way round."""
    left = re.sub(r"[^()]", "", value)
    while "()" in left:
        left = left.replace("()", "")
    return not left


def _filled(template: str, values: dict[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        return values.get(found[1], found[0]) if found[1] else found[0][0]

    return _BRACES.sub(put, template)


def read_po(file: Path) -> Iterator[tuple[str, str]]:
    """The entries of a gettext catalogue, without those that are marked fuzzy.

    Raises: ValueError for a line that is none of such a file, with its number.
    """
    entry, part, fuzzy = {"msgid": "", "msgstr": ""}, "", False
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line:
            if part == "msgstr":
                yield entry["msgid"], "" if fuzzy else entry["msgstr"]
                entry, part, fuzzy = {"msgid": "", "msgstr": ""}, "", False
            fuzzy = fuzzy or (line.startswith("#,") and "fuzzy" in line)
            continue
        found = _ENTRY.match(line)
        if found is None:
            raise ValueError(f"{file}:{number}: neither msgid nor msgstr nor a comment")
        part = found[1] or part
        entry[part] += json.loads(f'"{found[2]}"') if "\\" in found[2] else found[2]
    if part:
        yield entry["msgid"], "" if fuzzy else entry["msgstr"]


_installed: dict[str, Catalogue] = {}  # by language, of all packages
_catalogues: dict[str, tuple[Catalogue, set[str]]] = {}  # by language, each with the packages that it was read of


def _loaded(wanted: str) -> Catalogue:
    """The catalogue of all that is imported; what has been imported since it was asked for is added."""
    catalogue, seen = _catalogues.setdefault(wanted, (Catalogue(), set()))
    new = {name for name in tuple(sys.modules) if "." not in name} - seen
    seen |= new
    files = [file for name in sorted(new) if (file := _of_package(name, wanted))]
    catalogue.add(entry for file in files for entry in read_po(file))
    return catalogue


def _of_installed(wanted: str) -> Iterator[Path]:
    """The catalogues of all installed packages, none of which is imported."""
    import importlib.util

    from tunesmith.catalog import Catalog

    for place in dict.fromkeys(sys.path):
        yield from Path(place).glob(f"tunesmith*/locale/{wanted}/LC_MESSAGES/tunesmith*.po")
    for name in sorted({entry.target.partition(":")[0].partition(".")[0] for entry in Catalog.discover().entries()}):
        found = None if name.startswith("tunesmith") else importlib.util.find_spec(name)
        file = _file(Path(found.origin).parent, name, wanted) if found and found.origin else None
        yield from [file] if file else []


def _of_package(name: str, wanted: str) -> Path | None:
    place = getattr(sys.modules.get(name), "__file__", None)
    return _file(Path(place).parent, name, wanted) if place and "__init__" in place else None


def _file(folder: Path, package: str, wanted: str) -> Path | None:
    """A package's catalogue of a language, None where it has none."""
    if not wanted.isalpha():
        return None
    file = folder / "locale" / wanted / "LC_MESSAGES" / f"{package}.po"
    return file if file.is_file() else None
