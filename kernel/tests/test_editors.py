"""`tunesmith config schema --vscode`: what it writes, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunesmith.catalog import Catalog
from tunesmith.cli.editors import EXTENSIONS, write_vscode
from tunesmith.errors import TunesmithError
from tunesmith_library_configuration.jsonc import loads

SCHEMA = "./.vscode/tunesmith.schema.json"


@pytest.fixture
def folder(tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with configurations, and with YAML files that are none."""
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: catalog))
    files = {
        "conf/a.yaml": "model: {path: x}",
        "conf/datasets.yaml": "mine: {path: x.json}",
        "try/b.yml": "defaults: [../conf/a.yaml]",
        "try/c.tunesmith.yaml": "seed: 1\nadapter: lora",
        "mkdocs.yml": "site_name: x",
        "broken.yaml": "adapter: [",
        "runs/a/run.yaml": "model: {path: x}",
        ".github/adapter.yaml": "adapter: lora",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read(folder: Path, name: str) -> dict:
    return loads((folder / ".vscode" / name).read_bytes().decode())


def test_a_folder_without_settings_gets_all_of_them(folder: Path) -> None:
    (folder / ".venv").mkdir()
    assert {written.path.name for written in write_vscode(folder) if written.changed} == {
        *("tunesmith.schema.json", "settings.json", "launch.json", "extensions.json")
    }
    settings = read(folder, "settings.json")
    assert settings["yaml.schemas"] == {SCHEMA: ["*.tunesmith.yaml", "conf/*.yaml", "!conf/datasets.yaml", "try/b.yml"]}
    assert settings["python.defaultInterpreterPath"].endswith(".venv")
    assert "adapter" in json.loads((folder / SCHEMA).read_text())["properties"]
    assert read(folder, "extensions.json") == {"recommendations": list(EXTENSIONS)}
    started = [" ".join(one["args"]) for one in read(folder, "launch.json")["configurations"]]
    assert started == ["train --debug ${file}", "plan --debug ${file}", "${file} -q -x"]


def test_what_is_there_stays_and_a_second_time_changes_nothing(folder: Path) -> None:
    (folder / ".vscode").mkdir()
    own = {
        "settings.json": "{\r\n\t// mine\r\n"
        '\t"yaml.schemas": {"./.vscode/tunesmith.schema.json": "own/*.yml"}, // ours, too\r\n\t'
        '"python.testing.unittestEnabled": true,\r\n}',
        "launch.json": '{"configurations": [{"name": "Tunesmith: plan of this file", "args": ["mine"]}]}',
        "extensions.json": '{"recommendations": ["ms-python.python", "a.b" /* needed */]}',
    }
    for name, text in own.items():
        (folder / ".vscode" / name).write_bytes(text.encode())
    write_vscode(folder)
    settings = (folder / ".vscode" / "settings.json").read_bytes().decode()
    assert "\t// mine\r\n" in settings and "// ours, too\r\n" in settings
    assert settings.count("\n") == settings.count("\r\n")
    assert read(folder, "settings.json")["yaml.schemas"][SCHEMA][:2] == ["own/*.yml", "*.tunesmith.yaml"]
    assert read(folder, "settings.json")["python.testing.unittestEnabled"] is True
    launched = read(folder, "launch.json")["configurations"]
    assert launched[0]["args"] == ["mine"] and len(launched) == 3
    extensions = (folder / ".vscode" / "extensions.json").read_text()
    assert "/* needed */" in extensions
    assert loads(extensions)["recommendations"] == ["ms-python.python", "a.b", EXTENSIONS[0], EXTENSIONS[2]]
    assert not any(written.changed for written in write_vscode(folder))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("launch.json", b'{"version": }'),
        ("settings.json", b'{"yaml.schemas": []}'),
        ("settings.json", b"\xff"),
        ("extensions.json", b"[]"),
    ],
)
def test_nothing_is_written_beside_a_file_that_cannot_be_read(folder: Path, name: str, text: bytes) -> None:
    """What to add is told."""
    (folder / ".vscode").mkdir()
    (folder / ".vscode" / name).write_bytes(text)
    with pytest.raises(TunesmithError, match=r"nothing was written.*\n.*add this") as refused:
        write_vscode(folder)
    assert {"launch.json": "debugpy", "settings.json": SCHEMA, "extensions.json": EXTENSIONS[0]}[name] in str(
        refused.value
    )
    assert [path.name for path in (folder / ".vscode").iterdir()] == [name]
    assert (folder / ".vscode" / name).read_bytes() == text
