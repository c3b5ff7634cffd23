"""Values of the model's own configuration that the user sets: which keys there are, known without importing it."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import Problem

from .consistency import inconsistencies, refuse_inconsistent


def check_keys(folder: Path, overrides: Mapping[str, Any]) -> list[Problem]:
    """A problem for each key that the model's configuration does not have, and for values that do not go together; []
    where the folder is not at hand."""
    known = known_keys(folder) if overrides else set()
    if not known:
        return []
    wrong = [key for key in overrides if key not in known]
    unknown = [
        Problem(f"model.config.{key}", f"the model's configuration has no {key}", _there_is(key, known))
        for key in wrong
    ]
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = written.get("text_config")
    return unknown + inconsistencies({**(text if isinstance(text, dict) else written), **overrides}, overrides)


def known_keys(folder: Path) -> set[str]:
    """What stands in a config.json, and what transformers' class for its model type has beside that.

    Returns: an empty set for a model whose class is not in the installed transformers: then nobody knows yet.
    """
    file = folder / "config.json"
    if not file.is_file():
        return set()
    config = json.loads(file.read_text(encoding="utf-8"))
    parts = [config, *(value for value in config.values() if isinstance(value, dict) and "model_type" in value)]
    sources = [_source_of(str(part.get("model_type"))) for part in parts]
    if None in sources:
        return set()
    names = {name for source in sources if source is not None for name in _fields(source)}
    return names | {key for part in parts for key in part}


def override(config: Any, overrides: Mapping[str, Any]) -> None:
    """Set values in a configuration of transformers, in its part for text where that has them; a mapping into another.

    Raises: TunesmithError for a key that it does not have, and for a value that is not of its type.
    """
    for key, value in overrides.items():
        owner = next((part for part in (config.get_text_config(), config) if hasattr(part, key)), None)
        if owner is None:
            known = {name for part in (config, config.get_text_config()) for name in part.to_dict()}
            raise TunesmithError(
                f"model.config.{key}: the model's configuration has no {key}.\n  {_there_is(key, known)}"
            )
        before = getattr(owner, key)
        merged = {**before, **value} if isinstance(before, dict) and isinstance(value, Mapping) else value
        try:
            setattr(owner, key, merged)
        except Exception as error:  # the kinds that configurations raise have no common class
            raise TunesmithError(f"model.config.{key}={value}: {' '.join(str(error).split())}") from error
        announce(f"config.{key}", value, f"model.config, instead of {before}")
    if overrides:
        refuse_inconsistent(vars(config.get_text_config()), overrides)


def _there_is(key: str, known: set[str]) -> str:
    return choices(key, sorted(name for name in known if not name.startswith("_")), "there is")


@cache
def _source_of(model_type: str) -> Path | None:
    """The file with transformers' configuration class of a model type."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return None
    models, name = Path(spec.origin).parent / "models", model_type.replace("-", "_")
    for folder in (name, name.removesuffix("_text")):
        for file in sorted((models / folder).glob("configuration_*.py")):
            if f'"{model_type}"' in file.read_text(encoding="utf-8"):
                return file
    return None


def _fields(source: Path) -> Iterator[str]:
    """The fields of the classes in a file and of all configurations: annotated, mapped, or with a setter."""
    for file in (source, source.parents[2] / "configuration_utils.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for statement in node.body if isinstance(node, ast.ClassDef) else ():
                yield from _names_of(statement)


def _names_of(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id
    elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
        mapped = any(isinstance(target, ast.Name) and target.id == "attribute_map" for target in statement.targets)
        keys = statement.value.keys if mapped else ()
        yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
    elif isinstance(statement, ast.FunctionDef):
        settable = any(isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in statement.decorator_list)
        yield from (statement.name,) if settable else ()
