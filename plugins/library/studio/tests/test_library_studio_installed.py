"""Plugins: what is installed is told by the plugins themselves, what is not by the project's list."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, ClassVar

import pytest
from tunesmith import plugin
from tunesmith.catalog import Catalog, known_distributions
from tunesmith.errors import PluginError
from tunesmith.ranges import at_least
from tunesmith.traits import StageTraits
from tunesmith_library_studio.installed import Installed
from tunesmith_library_studio.installed.telling import plugin as told
from tunesmith_library_studio.installed.telling import plugins


@plugin
class Mine:
    """Learns what it can.

    And more words.
    """

    traits: ClassVar[StageTraits] = StageTraits(reads=("text",), token_loss=True)
    guarded: ClassVar[tuple[str, ...]] = ("folder",)

    steps: Annotated[int, at_least(1, most=9)] = 3  # how often
    folder: str  # where to


def catalog() -> Catalog:
    made = Catalog.of({"stage.mine": Mine})
    (entry,) = made.entries()

    def broken() -> Any:
        raise ImportError("no module named nothing")

    return Catalog(
        [
            entry,
            dataclasses.replace(entry, name="theirs", load=broken),
            dataclasses.replace(entry, name="odd", load=lambda: 3),
        ]
    )


def test_what_is_installed() -> None:
    rows = {row["name"]: row for row in plugins(catalog())["items"]}
    assert rows["mine"]["state"] == "ok" and rows["mine"]["summary"] == "Learns what it can."
    assert rows["theirs"]["state"] == rows["odd"]["state"] == "broken"
    assert "no module named nothing" in rows["theirs"]["why"] and "not a class with @plugin" in rows["odd"]["why"]


def test_one_plugin() -> None:
    found = told(catalog(), "stage", "mine", "")
    assert found["traits"] == [{"name": "reads", "value": "text"}, {"name": "token_loss", "value": True}]
    steps, folder = found["options"]
    assert steps["help"] == "how often" and steps["default"] == 3 and steps["shape"]["maximum"] == 9
    assert folder["required"] and folder["guarded"] and "And more words." in found["doc"]
    assert told(catalog(), "stage", "theirs", "")["options"] == []
    for name, distribution in (("nothing", ""), ("mine", "another")):
        with pytest.raises(PluginError, match=f"stage={name}"):
            told(catalog(), "stage", name, distribution)


class Pretending:
    """Stands for the form and its process."""

    process = property(lambda self: self)

    def __init__(self) -> None:
        self.installed, self.asked = 1, 0

    def environment(self) -> list[int]:
        return [self.installed]

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        self.asked += 1
        if do == "plugin":
            return {**what, "distribution": "tunesmith-library-studio"}
        return {"items": [{"kind": "adapter", "name": "lora"}], "kinds": [], "warnings": []}


def test_what_was_installed_meanwhile_is_seen() -> None:
    forms: Any = Pretending()
    installed = Installed(forms)
    assert installed.listed()["items"] == installed.listed()["items"] and forms.asked == 1
    forms.installed = 2
    assert installed.listed() and forms.asked == 2


def test_what_can_be_installed() -> None:
    forms: Any = Pretending()
    available = Installed(forms).listed()["available"]
    assert len(available) == len(known_distributions()) - 1
    (merged,) = (item for item in available if (item["kind"], item["name"]) == ("exporter", "merged"))
    assert merged["install"] == "pip install tunesmith-exporter-merged"


def test_the_distribution_of_a_plugin() -> None:
    forms: Any = Pretending()
    found = Installed(forms).shown("stage", "mine")
    assert found["licence"] == "Apache-2.0" and found["homepage"].startswith("https://") and found["readme"]
    assert any(name.startswith("tunesmith") for name in found["requires"])
