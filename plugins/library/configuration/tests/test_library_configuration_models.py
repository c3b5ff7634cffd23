"""Models by name: which one is meant, and what takes its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.models import find_model, known_models, model_with_id, with_known_model

REGISTRY = """
Tide-7B-Instruct-2507: {huggingface: sea/Tide-7B-Instruct-2507, modelscope: Sea/tide-7b, template: tide}
Tide-7B-Thinking-2507: {huggingface: sea/Tide-7B-Thinking-2507, template: tide_thinking}
Tide-7B-Base: {huggingface: sea/Tide-7B}
Lake: {modelscope: Lakes/lake}
Pond: sea/pond
"""


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry that is installed, and an empty current folder."""
    (tmp_path / "package").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("tunesmith_library_configuration.models.recipe_folders", lambda: [tmp_path / "package"])
    monkeypatch.chdir(tmp_path / "here")
    file = tmp_path / "package" / "models.yaml"
    file.write_text(REGISTRY)
    return file


def path_for(asked: str, **tree: Any) -> tuple[str, list[str]]:
    tree = {"model": {"name": "transformers", "path": asked}, **tree}
    notices = with_known_model(tree)
    return tree["model"]["path"], notices


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("Tide-7B-Instruct-2507", "sea/Tide-7B-Instruct-2507"),
        ("tide-7b-instruct", "sea/Tide-7B-Instruct-2507"),  # the only one that goes on so
        ("Tide-7B", "sea/Tide-7B"),  # the last part of an id, though three names go on so
        ("tide7b_instruct2507", "sea/Tide-7B-Instruct-2507"),
        ("tide_7b", "sea/Tide-7B"),
        ("lake", "modelscope://Lakes/lake"),
        ("Pond", "sea/pond"),
    ],
)
def test_a_known_name_becomes_its_id(asked: str, path: str) -> None:
    assert path_for(asked) == (path, [f"model.path: {path} ({asked} in models.yaml)"])


@pytest.mark.parametrize("asked", ["gpt2", "Tide-7", "sea/Tide-7B-Instruct", "./Tide-7B", "hf://Pond", "${x}", ""])
def test_what_is_no_known_name_stays(asked: str) -> None:
    assert path_for(asked) == (asked, [])


@pytest.mark.parametrize("asked", ["Tide-7B-Instrct-2507", "tide7B-Instrct"])
def test_a_slip_is_told(asked: str) -> None:
    notice = f"model.path={asked}: no known model is called so; did you mean Tide-7B-Instruct-2507?"
    assert path_for(asked) == (asked, [notice])


def test_the_model_of_an_id() -> None:
    for address in ("sea/Tide-7B-Instruct-2507", "modelscope://Sea/tide-7b", "hf://SEA/tide-7b-instruct-2507"):
        model = model_with_id(address)
        assert model and model.template == "tide"
    assert model_with_id("sea/pond2") is model_with_id("") is None


def test_a_folder_of_that_name_is_meant() -> None:
    Path("Pond").mkdir()
    assert path_for("Pond") == ("Pond", [])


def test_several_are_told() -> None:
    ((found, several), (path, (notice,))) = find_model("TIDE"), path_for("Tide")
    assert found is None and len(several) == 3 and path == "Tide"
    assert (
        "3 known models begin so: Tide-7B-Base, Tide-7B-Instruct-2507" in notice and "tunesmith models Tide" in notice
    )


def test_the_hub_that_is_asked_first() -> None:
    assert path_for("Tide-7B-Instruct-2507", default_hub="modelscope")[0] == "Sea/tide-7b"
    assert path_for("Pond", default_hub="modelscope")[0] == "huggingface://sea/pond"


def test_ones_own_registry_wins() -> None:
    Path("conf").mkdir()
    Path("conf/models.yaml").write_text("Pond: mine/pond\nPuddle: mine/puddle\n")
    assert path_for("pond")[0] == "mine/pond" and path_for("puddle")[0] == "mine/puddle"
    assert known_models()["Pond"].file == Path("conf/models.yaml") and len(known_models()) == 6


def test_a_configuration_without_model() -> None:
    for tree in ({}, {"model": None}, {"model": {"name": "x"}}, {"model": {"path": 3}}):
        assert with_known_model(tree) == []


@pytest.mark.parametrize("text", ["- a\n", "a: {template: x}\n", "a: {huggingface: [1]}\n", "a: [\n", "a:\n"])
def test_a_file_that_is_no_registry(text: str, registry: Path) -> None:
    registry.write_text(text)
    with pytest.raises(ConfigError, match=r"models\.yaml"):
        known_models()
