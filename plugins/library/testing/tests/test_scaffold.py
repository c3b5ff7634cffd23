"""`tunesmith new`: what it writes is a plugin whose tests pass."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from tunesmith import TunesmithError
from tunesmith.kinds import KINDS
from tunesmith_library_testing.scaffold import create

LIGHT = ("dialect", "format", "reward", "tracker")  # whose tests need no torch


def install(project: Path, site: Path) -> None:
    """Put a distribution on a path as an editable installation does: metadata, and the folder of the sources."""
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir(parents=True)
    requires = "".join(f"Requires-Dist: {item}\n" for item in described["dependencies"])
    head = f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    (info / "METADATA").write_text(head + requires, encoding="utf-8")
    groups = described["entry-points"]
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups.items()
    )
    (info / "entry_points.txt").write_text(points, encoding="utf-8")


def run_tests(kinds: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Write a plugin of each kind, and run their tests in a fresh interpreter."""
    projects = [create(kind, "half_life", folder) for kind in kinds]
    for project in projects:
        install(project, folder / "site")
    places = os.pathsep.join(map(str, [folder / "site", *projects]))
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "--import-mode=importlib", "-p", "no:cacheprovider", "--rootdir", "."]
    tests = [str(project / "tests") for project in projects]
    return subprocess.run([*command, *tests], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("kind", LIGHT)
def test_what_is_written_passes_its_tests(kind: str, tmp_path: Path) -> None:
    """The conformance suite, and the test of its own."""
    done = run_tests([kind], tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_what_is_written_of_the_other_kinds_passes_its_tests(tmp_path: Path) -> None:
    """In one interpreter: each would import torch."""
    kinds = [kind for kind in KINDS if kind not in LIGHT]
    done = run_tests(kinds, tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.findall(r"^(\w+)-half_life/tests/test_\w+\.py [.s]", done.stdout, re.M) == kinds


@pytest.mark.parametrize("kind", KINDS)
def test_names_follow_the_rule(kind: str, tmp_path: Path) -> None:
    """Folder, distribution, import package, entry point and class are named after the kind and the name."""
    project = create(kind, "half_life", tmp_path)
    assert project == tmp_path / f"{kind}-half_life"
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert described["name"] == f"tunesmith-{kind}-half_life"
    assert described["entry-points"] == {f"tunesmith.{kind}": {"half_life": f"tunesmith_{kind}_half_life:HalfLife"}}
    package = project / f"tunesmith_{kind}_half_life"
    assert "class HalfLife" in (package / "__init__.py").read_text(encoding="utf-8")
    assert (project / "tests" / f"test_{kind}_half_life.py").is_file()
    assert described["license-files"] == ["LICENSE"]
    licence = (project / "LICENSE").read_text(encoding="utf-8")
    assert licence.lstrip().startswith("Apache License") and "END OF TERMS AND CONDITIONS" in licence
    for file in project.rglob("*.*"):
        text = file.read_text(encoding="utf-8")
        assert not [word for word in ("laceholder", "KIND", "SUMMARY", "COMMAND", "DEPENDENCIES") if word in text]


def test_every_python_file_compiles_and_is_short(tmp_path: Path) -> None:
    """A skeleton is something to read: no module of more than 100 lines."""
    for kind in KINDS:
        for file in create(kind, "half_life", tmp_path).rglob("*.py"):
            source = file.read_text(encoding="utf-8")
            compile(source, str(file), "exec")
            assert source.count("\n") <= 100, file.name


@pytest.mark.parametrize(("kind", "name", "expected"), [("hub", "path", "PathHub"), ("data", "none", "NoneData")])
def test_class_does_not_hide_a_name(kind: str, name: str, expected: str, tmp_path: Path) -> None:
    """A plugin called `path` does not hide pathlib's Path, which it needs itself."""
    package = create(kind, name, tmp_path) / f"tunesmith_{kind}_{name}"
    assert f"class {expected}:" in (package / "__init__.py").read_text(encoding="utf-8")


def test_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="did you mean quantizer"):
        create("quantiser", "mine", tmp_path)


@pytest.mark.parametrize(("name", "nearest"), [("Half-Life", "half_life"), ("4bit", "bit"), ("a b", "a_b"), ("", "")])
def test_impossible_name(name: str, nearest: str, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=f"possible.*{nearest}"):
        create("quantizer", name, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "name"), [("template", "chatml"), ("adapter", "lora")])
def test_a_name_that_is_taken(kind: str, name: str, tmp_path: Path) -> None:
    """Its distribution would take the place of the project's when it is installed."""
    with pytest.raises(TunesmithError, match=rf"{kind}={name} is what tunesmith-{kind}-{name} provides.*\n.*my_{name}"):
        create(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    project = create("tracker", "mine", tmp_path)
    (project / "README.md").write_text("my own words", encoding="utf-8")
    with pytest.raises(TunesmithError, match="already there"):
        create("tracker", "mine", tmp_path)
    assert (project / "README.md").read_text(encoding="utf-8") == "my own words"
