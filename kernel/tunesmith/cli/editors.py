"""`tunesmith config schema --vscode`: what Visual Studio Code needs to complete, check and debug configurations.

Files that are there already keep what is in them, comments too; nothing is written where one of them cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.cli.schema import config_schema
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith.files import replacing
from tunesmith.kinds import CONFIGURED
from tunesmith_library_configuration.jsonc import loads, with_value
from tunesmith_library_configuration.reading import read_yaml

SCHEMA = "tunesmith.schema.json"
EXTENSIONS = ("redhat.vscode-yaml", "ms-python.python", "ms-python.debugpy")
_NO_CONFIGURATIONS = (
    "runs",
    "node_modules",
    "venv",
)  # folders that are not searched, beside those that begin with a dot
_MOST = 5_000  # YAML files that are looked at
_MOST_BYTES = 1_000_000  # of a file that is looked at

Keys = tuple[str, ...]
Wanted = Sequence[tuple[Keys, Any]]
"""Values by the keys that lead to them."""


@dataclass(frozen=True)
class Written:
    """A file, and whether it is another than before."""

    path: Path
    changed: bool


def write_vscode(folder: Path) -> list[Written]:
    """Write schema, settings, run configurations and recommended extensions into `.vscode` of a folder.

    Raises: TunesmithError where a file of them cannot be read, with what to add to it; nothing is written then.
    """
    schema = config_schema()
    texts = {folder / ".vscode" / SCHEMA: json.dumps(schema, ensure_ascii=False) + "\n"}
    for name, wanted in (
        ("settings.json", _settings(folder, schema)),
        ("launch.json", _launch(folder)),
        ("extensions.json", [(("recommendations",), list(EXTENSIONS))]),
    ):
        texts[folder / ".vscode" / name] = _merged(folder / ".vscode" / name, wanted)
    return [Written(path, _write(path.resolve(), text)) for path, text in texts.items()]


def _settings(folder: Path, schema: Mapping[str, Any]) -> Wanted:
    found: list[tuple[Keys, Any]] = [(("yaml.schemas", f"./.vscode/{SCHEMA}"), patterns(folder, schema["properties"]))]
    found += [(("python.testing.pytestEnabled",), True), (("python.testing.unittestEnabled",), False)]
    if (folder / ".venv").is_dir():
        found.append((("python.defaultInterpreterPath",), "${workspaceFolder}/.venv"))
    return found


def _launch(folder: Path) -> Wanted:
    shared = {"type": "debugpy", "request": "launch", "console": "integratedTerminal", "cwd": "${workspaceFolder}"}
    entered = {"justMyCode": False}  # plugins of others, too
    made: list[dict[str, Any]] = [
        {"name": "Tunesmith: train with this file", "module": "tunesmith", "args": ["train", "--debug", "${file}"]},
        {"name": "Tunesmith: plan of this file", "module": "tunesmith", "args": ["plan", "--debug", "${file}"]},
        {"name": "Tunesmith: this test file", "module": "pytest", "args": ["${file}", "-q", "-x"]},
    ]
    if (folder / "contrib" / "demo" / "demo.py").is_file():
        made.append({"name": "Tunesmith: the demo", "program": "${workspaceFolder}/contrib/demo/demo.py"})
    return [(("version",), "0.2.0"), (("configurations",), [{**one, **shared, **entered} for one in made])]


def patterns(folder: Path, keys: Mapping[str, Any]) -> list[str]:
    """Which files of a folder are configurations: by their place and name, and others that are there already.

    Args:
        keys: those that the first level of a configuration may have.
    """
    made = ["*.tunesmith.yaml", "conf/*.yaml"]
    found = {path: _is_configuration(path, keys) for path in _yaml_files(folder)}
    for path, ours in found.items():
        shown = path.relative_to(folder).as_posix()
        if path.parent == folder / "conf":
            made += [] if ours else [f"!{shown}"]
        elif ours and not path.name.endswith(".tunesmith.yaml"):
            made.append(shown)
    return made


def _yaml_files(folder: Path) -> Iterator[Path]:
    """YAML files in a folder, and below it, in the order of their names."""
    left, folders = _MOST, [folder]
    while folders and left:
        listed = sorted(folders.pop(0).iterdir())
        folders += [
            path
            for path in listed
            if path.is_dir() and not path.is_symlink() and path.name not in _NO_CONFIGURATIONS and path.name[0] != "."
        ]
        for path in listed:
            if path.suffix in (".yaml", ".yml") and path.is_file() and left:
                left -= 1
                yield path


def _is_configuration(path: Path, keys: Mapping[str, Any]) -> bool:
    """Whether a file has keys of a configuration, and no others."""
    if path.stat().st_size > _MOST_BYTES:
        return False
    try:
        written = read_yaml(path)[0].keys()
    except (TunesmithError, OSError):
        return False
    return written <= keys.keys() and bool(written & {*CONFIGURED, "defaults"})


def _merged(path: Path, wanted: Wanted) -> str:
    """A file's text with what is wanted, beside what is in it. Raises: TunesmithError with what to add to it."""
    try:
        before = path.read_bytes().decode() if path.exists() else ""
        text = before
        for keys, value in wanted:
            text = with_value(text, keys, _beside(_at(loads(text), keys), value))
    except (ConfigError, UnicodeDecodeError) as error:
        mapping: dict[str, Any] = {}
        for keys, value in wanted:
            inner = mapping
            for name in keys[:-1]:
                inner = inner.setdefault(name, {})
            inner[keys[-1]] = value
        told = json.dumps(mapping, indent=4, ensure_ascii=False)
        message = f"{path} cannot be changed, and nothing was written: {error}"
        raise TunesmithError(f"{message}\nmend it and try again, or add this to it:\n{told}") from error
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in before else text


def _at(found: Any, keys: Keys) -> Any:
    """What stands at a path of keys; None where nothing does."""
    for name in keys:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _beside(there: Any, wanted: Any) -> Any:
    """A list with the items that it lacks; of run configurations those whose name it lacks. Else what is there."""
    if there is None:
        return wanted
    if not isinstance(wanted, list):
        return there
    listed = there if isinstance(there, list) else [there]
    names = [_name(item) for item in listed]
    return [*listed, *(item for item in wanted if _name(item) not in names)]


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, Mapping) else item


def _write(path: Path, text: str) -> bool:
    """Write a file, unless it says this already. Returns: whether it was written."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    with replacing(path) as draft:
        draft.write_bytes(text.encode())
    return True
