"""What a set's subjects are called in prompts, and which category they belong to."""

from __future__ import annotations

import importlib.resources
import json
import tomllib
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import DataError

_FILES = ("mapping.json", "subject_mapping.json")  # LLaMA-Factory's, C-Eval's own


@dataclass(frozen=True)
class Subject:
    """A subject of a set."""

    name: str  # as a prompt calls it
    category: str = ""


def subjects_of(path: Path, found: Collection[str], chinese: bool = False) -> dict[str, Subject]:
    """The subjects of a set: as its own mapping says, else as MMLU, C-Eval or CMMLU do where all are theirs.

    Args:
        found: the subjects that it has questions of.
        chinese: whether the prompts are, which decides between sets that both have them all.

    Raises: DataError for a mapping of another form.
    """
    own = _own(path)
    known = own if own is not None else _known(path, found, chinese)
    return {name: known.get(name) or Subject(name.replace("_", " ")) for name in found}


def _own(path: Path) -> dict[str, Subject] | None:
    folder = path if path.is_dir() else path.parent if zipfile.is_zipfile(path) else None
    file = next((folder / name for name in _FILES if (folder / name).is_file()), None) if folder else None
    if file is None:
        return None
    try:
        mapping = json.loads(file.read_text(encoding="utf-8-sig"))
        return {subject: _described(told) for subject, told in mapping.items()}
    except (ValueError, AttributeError, LookupError) as error:
        told = 'a subject is {"name": "abstract algebra", "category": "STEM"}'
        raise DataError(f"{file} is no mapping of subjects: {error}\n  {told}") from error


def _described(told: Any) -> Subject:
    if isinstance(told, Mapping):
        return Subject(str(told["name"]), str(told.get("category", "")))
    _, chinese, category = told  # C-Eval's: English name, Chinese name, category
    return Subject(str(chinese), str(category))


def _known(path: Path, found: Collection[str], chinese: bool) -> dict[str, Subject]:
    text = importlib.resources.files(__package__).joinpath("subjects.toml").read_text("utf-8")
    sets = {
        name: {subject: Subject(said, category) for category, names in part.items() for subject, said in names.items()}
        for name, part in tomllib.loads(text).items()
    }
    fitting = [name for name, subjects in sets.items() if found and set(found) <= subjects.keys()]
    named = [name for name in fitting if name in path.name.lower().replace("-", "").split("_")]
    rest = sorted(fitting, key=lambda name: (name == "mmlu") == chinese)
    return sets[(named or rest)[0]] if fitting else {}
