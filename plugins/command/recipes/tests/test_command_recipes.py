"""Recipes are listed, shown and copied by the names that people type."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tunesmith import TunesmithError
from tunesmith_command_recipes import Recipes
from tunesmith_command_recipes.reading import copy, read, summaries
from tunesmith_library_testing import CommandSuite


class TestRecipes(CommandSuite):
    plugin = Recipes


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes, as a package offers it; the current folder is an empty one beside it."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "sft.yaml").write_text("# Supervised fine-tuning.\n#   tunesmith train conf/sft.yaml\nseed: 1\n")
    (folder / "qlora.yaml").write_text("# In four bits.\ndefaults: [sft.yaml, base.yaml]\n")
    (folder / "plain.yaml").write_text("seed: 3\n")
    monkeypatch.setattr("tunesmith_library_configuration.recipes.recipe_folders", lambda: [folder])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def call(*words: str) -> Result:
    return CliRunner().invoke(Recipes().command(), words)  # type: ignore[attr-defined]


def test_each_with_its_first_comment_line(installed: Path) -> None:
    assert call().stdout == "plain.yaml\nqlora.yaml  In four bits.\nsft.yaml    Supervised fine-tuning.\n"


@pytest.mark.parametrize("name", ["sft", "sft.yaml", "conf/sft.yaml"])
def test_show(installed: Path, name: str) -> None:
    assert call("show", name).stdout == (installed / "sft.yaml").read_text()


def test_copy_takes_along_what_it_inherits(installed: Path) -> None:
    assert (
        call("copy", "qlora", "my").stdout
        == "wrote my/qlora.yaml\nwrote my/sft.yaml\n  tunesmith train my/qlora.yaml\n"
    )
    for name in ("qlora.yaml", "sft.yaml"):
        assert Path("my", name).read_text() == (installed / name).read_text()
    assert call("copy", "sft").stdout == "wrote sft.yaml\n  tunesmith train sft.yaml\n"


def test_copy_replaces_nothing(installed: Path) -> None:
    Path("sft.yaml").write_text("mine")
    with pytest.raises(TunesmithError, match=r"sft\.yaml exists already\."):
        copy("sft", Path())
    assert copy("qlora", Path()) == [Path("qlora.yaml")]
    assert Path("sft.yaml").read_text() == "mine"


def test_one_that_is_not_there(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TunesmithError, match=r"installed: .*did you mean sft\.yaml\?"):
        read("stf.yaml")
    with pytest.raises(TunesmithError, match="no installed recipe is called"):
        read("elsewhere/sft.yaml")
    monkeypatch.setattr("tunesmith_library_configuration.recipes.recipe_folders", list)
    for action in (summaries, lambda: read("sft")):
        with pytest.raises(TunesmithError, match=r"\npip install tunesmith-suite"):
            action()
