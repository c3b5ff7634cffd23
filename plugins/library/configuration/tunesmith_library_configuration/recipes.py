"""Recipes: configurations that installed packages bring, found by the names that people call them."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tunesmith_library_configuration.errors import choices

GROUP = "tunesmith.recipes"
"""The group of entry points by which a package says that it holds recipes."""


def recipe_folders() -> list[Path]:
    """Folders of installed recipes: packages that offer an entry point of the group `tunesmith.recipes`."""
    specs = [importlib.util.find_spec(package) for package in _packages(*_places())]
    return [Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ()]


def _places() -> Iterator[tuple[str, int]]:
    """The folders where Python looks for packages, and when something was last put there or taken away."""
    for place in sys.path:
        if os.path.exists(place or "."):
            yield place, os.stat(place or ".").st_mtime_ns


@functools.cache
def _packages(*places: tuple[str, int]) -> tuple[str, ...]:
    """The packages with recipes. A run asks several times, and each answer reads the metadata of all that is installed.

    Args:
        places: as `_places` gives them.
    """
    offering = (
        distribution.entry_points.select(group=GROUP)
        for distribution in importlib.metadata.distributions()
        if GROUP in (distribution.read_text("entry_points.txt") or "")  # of the others none is parsed
    )
    return tuple(dict.fromkeys(point.value for points in offering for point in points))


def recipes() -> dict[str, Path]:
    """The installed recipes by file name; of two with one name the first is found."""
    files = [file for folder in recipe_folders() for file in sorted(folder.glob("*.yaml"))]
    return {file.name: file for file in reversed(files)}


def find_recipe(name: Path) -> Path | None:
    """The installed recipe that people call `sft_lora`, `sft_lora.yaml` or `conf/sft_lora.yaml`."""
    if name.parent not in (Path(), Path("conf")):
        return None
    return recipes().get(name.name if name.suffix else f"{name.name}.yaml")


def others_than(path: Path) -> str:
    """What there is where there is no such file: configurations and runs in its folder, installed recipes."""
    from tunesmith_library_configuration.folders import RECORD  # reads YAML, which `--help` does not need

    beside = {*map(str, path.parent.glob("*.y*ml")), *recipes()}
    beside |= {str(record.parent) for record in path.parent.glob(f"*/{RECORD}")}
    return (
        choices(str(path), beside, "configurations and runs")
        if beside
        else f"no configuration or run is in {path.parent}"
    )
