"""The page's words for options: `python docs/tools/option_words.py [LANGUAGE]` writes the helps that catalogues have.

A plugin's catalogue is where the comments of its options, and its summary, are translated. The file of `tunesmith
webui`, `page/languages/options/LANGUAGE.json`, takes them from there; labels, what kinds are, and words of `*`, which
several plugins have, are its own, as are helps that no catalogue has. `--check` writes nothing and names what differs.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "plugins/command/webui/tunesmith_command_webui/page/languages/options"


@dataclass
class Catalogues:
    """The catalogues of a language by package; a plugin's own comes before those of others."""

    language: str

    @cached_property
    def by_package(self) -> dict[str, dict[str, str]]:
        """Texts without fields, and what each means."""
        from tunesmith.cli.languages import read_po

        folder = f"locale/{self.language}/LC_MESSAGES/*.po"
        files = [ROOT.glob(place + folder) for place in ("kernel/*/", "plugins/*/*/*/", "contrib/**/")]
        return {file.stem: {_bare(text): _bare(meant) for text, meant in read_po(file)} for file in chain(*files)}

    @cached_property
    def everywhere(self) -> dict[str, str]:
        """The texts of all packages."""
        return {text: meant for found in self.by_package.values() for text, meant in found.items() if meant}

    def meaning(self, english: str, package: str) -> str | None:
        """A text in the language, None where it is not translated."""
        return self.by_package.get(package, {}).get(english) or self.everywhere.get(english)


def _bare(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def differing(words: dict[str, Any], found: Catalogues) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """What catalogues have and the words have not: address, the word's name, where it stands, what it is to be."""
    from tunesmith.catalog import Catalog
    from tunesmith.planning import RunOptions
    from tunesmith_library_configuration.options import options

    def helps(cls: type, told: dict[str, Any], place: str, package: str) -> Iterator[Any]:
        for option in options(cls):
            entry = told.setdefault(option.name, {})
            meant = found.meaning(option.doc or "", package)
            if meant and entry.get("help") != meant:
                yield f"{place}.{option.name}", "help", entry, meant
            for group in _groups(option.type):
                yield from helps(group, entry, f"{place}.{option.name}", package)

    yield from helps(RunOptions, words["run"], "run", "tunesmith")
    catalog = Catalog.discover()
    for entry in catalog.entries():
        told = words.get(entry.kind, {}).get(entry.name)
        if told is not None:
            cls, package = catalog.load(entry), entry.target.partition(":")[0].partition(".")[0]
            summary = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
            meant = found.meaning(summary, package)
            if meant and told.get("summary") != meant:
                yield entry.address, "summary", told, meant
            yield from helps(cls, told, entry.address, package)


def _groups(kind: Any) -> Iterator[type]:
    """The groups of options that a type holds."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
    for inner in typing.get_args(kind):
        yield from _groups(inner)


def _without_empty(words: dict[str, Any]) -> dict[str, Any]:
    """Words without the options for which nothing was found."""
    kept = {name: _without_empty(told) if isinstance(told, dict) else told for name, told in words.items()}
    return {name: told for name, told in kept.items() if told != {}}


def main(given: list[str]) -> int:
    """Write the file of a language, or with --check say what differs."""
    language = next((word for word in given if word != "--check"), "zh")
    file = FOLDER / f"{language}.json"
    words = json.loads(file.read_text(encoding="utf-8"))
    found = list(differing(words, Catalogues(language)))
    for at, name, entry, meant in found:
        print(f"{at} ({name}): {meant}")
        entry[name] = meant
    if "--check" in given:
        return int(bool(found))
    file.write_text(json.dumps(_without_empty(words), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
