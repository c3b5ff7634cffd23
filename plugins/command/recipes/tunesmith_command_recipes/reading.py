"""Finding recipes, reading them, copying them."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_configuration.recipes import find_recipe, recipes

_INSTALL = "pip install tunesmith-suite"


def summaries() -> list[tuple[str, str]]:
    """The installed recipes by name, each with its first comment line.

    Raises: TunesmithError when none are installed.
    """
    found = recipes()
    if not found:
        raise TunesmithError(f"no recipes are installed.\n{_INSTALL}")
    return [(name, _summary(file)) for name, file in sorted(found.items())]


def _summary(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    return lines[0].lstrip("# ") if lines and lines[0].startswith("#") else ""


def read(name: str) -> str:
    """The text of a recipe.

    Raises: TunesmithError when there is none of the name.
    """
    return find(name).read_text(encoding="utf-8")


def find(name: str) -> Path:
    """The file of a recipe: `sft_lora`, `sft_lora.yaml`, `conf/sft_lora.yaml`.

    Raises: TunesmithError when there is none of the name.
    """
    file = find_recipe(Path(name))
    if file is None:
        known = recipes()
        advice = choices(name, known, "installed") if known else _INSTALL
        raise TunesmithError(f"no installed recipe is called {name}.\n{advice}")
    return file


def copy(name: str, folder: Path) -> list[Path]:
    """Copy a recipe, and the recipes that its `defaults` name, which are looked for beside it.

    Args:
        folder: is made.

    Returns: what was written, the recipe first; inherited files that are there already are left as they are.
    Raises: TunesmithError when there is none of the name, or a file of its name.
    """
    file = find(name)
    target = folder / file.name
    if target.exists():
        raise TunesmithError(f"{target} exists already.\nchoose another folder: tunesmith recipes copy {name} FOLDER")
    inherited = [other for other in _inherited(file) if not (folder / other.name).exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [Path(shutil.copyfile(source, folder / source.name)) for source in (file, *inherited)]


def _inherited(file: Path) -> list[Path]:
    """The recipes that one inherits from, near and far."""
    names = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("defaults") or []
    found: list[Path] = []
    for name in names:
        other = file.parent / name
        if other.is_file():
            found += [item for item in (other, *_inherited(other)) if item not in found]
    return found
