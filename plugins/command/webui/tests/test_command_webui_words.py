"""The words of the page: every one that a module asks for is there in every language, and none that nobody asks for.

Modules write keys out: `t("runs.delete")`. Keys that are put together begin with what is written out up to a dot:
t(`runs.states.${state}`) may ask for every word under `runs.states`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tunesmith_command_webui.page_files import FOLDER

MODULES = [file for file in sorted(FOLDER.rglob("*.js")) if "vendor" not in file.parts]
FILES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (FOLDER / "languages").glob("*.json")}

_KEY = r"[a-z][\w-]*(?:\.[\w-]+)+"
_ASKED = re.compile(rf'\bt\((?:[^()"`]|\([^()]*\))*?"({_KEY})"')
_OTHER_CASE = re.compile(rf'\bt\([^()]*?\? *"({_KEY})" *: *"({_KEY})"')
_WRITTEN = re.compile(rf'"({_KEY})"|`({_KEY})`')
_BUILT = re.compile(r"`([a-z][\w-]*(?:\.[\w-]+)*\.)\$\{")
_PLACE = re.compile(r"\{(\w+)\}")


def words(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each key with its words: a text, or the texts of the forms that a number asks for."""
    for name, below in tree.items():
        key = f"{path}.{name}" if path else name
        if isinstance(below, dict) and "other" not in below:
            yield from words(below, key)
        else:
            yield key, below


def texts(found: Any) -> list[str]:
    return list(found.values()) if isinstance(found, dict) else [found]


ENGLISH = dict(words(FILES["en"]))


def test_there_are_two_languages_at_least() -> None:
    assert {"en", "zh"} <= set(FILES) and all(isinstance(tree["language"], str) for tree in FILES.values())


@pytest.mark.parametrize("name", [name for name in FILES if name != "en"])
def test_a_language_has_all_words_and_their_values(name: str) -> None:
    own = dict(words(FILES[name]))
    assert set(own) == set(ENGLISH), sorted(set(own) ^ set(ENGLISH))
    for key, found in own.items():
        assert all(text.strip() for text in texts(found)), key
        places = [set(_PLACE.findall(" ".join(texts(each)))) for each in (found, ENGLISH[key])]
        assert places[0] == places[1], f"{key}: {places}"


def test_every_word_that_is_asked_for_is_there() -> None:
    missing = {}
    for module in MODULES:
        source = module.read_text(encoding="utf-8")
        pairs = [key for pair in _OTHER_CASE.findall(source) for key in pair]
        for key in {*_ASKED.findall(source), *pairs}:
            if key not in ENGLISH and not key.startswith("options."):  # those of third parties may be missing
                missing[key] = module.name
        for beginning in _BUILT.findall(source):
            if beginning.partition(".")[0] in FILES["en"] and not any(key.startswith(beginning) for key in ENGLISH):
                missing[beginning] = module.name
    assert not missing


def test_no_word_is_there_for_nothing() -> None:
    sources = [module.read_text(encoding="utf-8") for module in MODULES]
    written = {key for source in sources for pair in _WRITTEN.findall(source) for key in pair}
    built = {beginning for source in sources for beginning in _BUILT.findall(source)}
    unused = [
        key for key in ENGLISH if key != "language" and key not in written and not key.startswith(tuple(sorted(built)))
    ]
    assert not unused
