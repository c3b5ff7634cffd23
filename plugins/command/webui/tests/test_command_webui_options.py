"""Words for options in other languages: each is of an option that there is, and few of ours go without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tunesmith_command_webui
from tunesmith.catalog import Catalog, known_distributions
from tunesmith.kinds import KINDS
from tunesmith.planning import RunOptions
from tunesmith_library_configuration.options import options

FILES = sorted((Path(tunesmith_command_webui.__file__).parent / "page" / "languages" / "options").glob("*.json"))
WITHOUT_OPTIONS = ("template", "dialect", "command")
_WORDS = ("summary", "label", "help")


def nested(option: Any) -> dict[str, Any]:
    """The fields of the groups that an option holds, by name."""
    from tunesmith_library_studio.configuring.shapes import option_form

    waiting, found = [option_form(option)["shape"]], {}
    while waiting:
        shape = waiting.pop()
        waiting += [shape["item"]] if "item" in shape else []
        found |= {field["name"]: field for field in shape.get("fields", ())}
    return found


def strays(words: dict[str, Any], catalog: Catalog) -> Iterator[str]:
    """Words of kinds, plugins, options and fields that there are not; of distributions that are not installed none."""
    installed = {entry.address for entry in catalog.entries()}
    for kind, plugins in words.items():
        if kind not in KINDS and kind != "run":
            yield kind
            continue
        if kind == "run":
            yield from _unknown("run", plugins, {option.name: option for option in options(RunOptions)})
            continue
        for name, told in plugins.items():
            if name == "*":  # options that several plugins of the kind have
                yield from _unknown(f"{kind}.*", told, _of_kind(kind, catalog))
                continue
            address = f"{kind}.{name}"
            if name in _WORDS or (address in known_distributions() and address not in installed):
                continue
            if address not in installed:
                yield address
                continue
            cls = catalog.load(catalog.find(kind, name, asked=False))
            yield from _unknown(address, told, {option.name: option for option in options(cls)})


def _of_kind(kind: str, catalog: Catalog) -> dict[str, Any]:
    """The options of all plugins of a kind by name."""
    classes = [catalog.load(entry) for entry in catalog.entries() if entry.kind == kind]
    return {option.name: option for cls in classes for option in options(cls)}


def _unknown(address: str, told: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    for name, words in told.items():
        if name in _WORDS:
            continue
        if name not in known:
            yield f"{address}.{name}"
        else:
            yield from (f"{address}.{name}.{field}" for field in words.keys() - {*_WORDS, *nested(known[name])})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_words_are_of_options_that_there_are(file: Path) -> None:
    words, catalog = json.loads(file.read_text(encoding="utf-8")), Catalog.discover()
    assert not list(strays(words, catalog))
    assert list(strays({"stage": {"sft": {"lenght": {"help": "x"}}}, "colour": {}}, catalog)) in (
        ["stage.sft.lenght", "colour"],
        ["colour"],  # where stage.sft is not installed
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nearly_every_option_of_ours_has_words(file: Path) -> None:
    """A new option may go without for a while: its English stands in."""
    words, catalog = json.loads(file.read_text(encoding="utf-8")), Catalog.discover()
    said, silent = 0, []
    for entry in catalog.entries():
        if entry.kind in WITHOUT_OPTIONS or known_distributions().get(entry.address) != entry.distribution:
            continue
        told = words.get(entry.kind, {}).get(entry.name, {})
        for name in [option.name for option in options(catalog.load(entry))]:
            has = bool(told.get(name, {}).get("help"))
            said, silent = said + has, silent if has else [*silent, f"{entry.address}.{name}"]
    assert len(silent) <= 0.05 * said, f"{file.name} has no words for: {', '.join(silent)}"
