"""What a config.json leaves out: the defaults of transformers' configuration classes, read without importing them."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Defaults:
    """What a configuration class says."""

    values: Mapping[str, Any] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)  # of a field, and what it is called there
    parts: Mapping[str, Defaults] = field(default_factory=dict)  # of configurations within it, by their keys


def complete(config: Mapping[str, Any], part: Defaults | None = None) -> dict[str, Any]:
    """A configuration with all that its class adds, under each name that a field has.

    Args:
        config: of a model or of a part of one, as config.json has it.
        part: what is known of it beside its model type.

    Returns: the same numbers alone where the installed transformers has no such class, or none is installed.
    """
    known = defaults(str(config["model_type"])) if config.get("model_type") else part or Defaults()
    values = {**known.values, **config}
    for name, stored in known.other_names.items():
        if name in config and stored not in config:
            values[stored] = config[name]
        values[name] = values.get(stored)
    for key, inside in known.parts.items():
        own = values.get(key)
        if own is None and key == "text_config":  # as the first models that see wrote it: all in one
            own = {name: value for name, value in config.items() if name in inside.values and name != "model_type"}
        if isinstance(own, Mapping) or own is None:
            values[key] = complete(own or {}, inside)
    return values


@cache
def defaults(model_type: str) -> Defaults:
    """What the class for a model type says; nothing where transformers has none."""
    file = source_of(model_type)
    if file is None:
        return Defaults()
    classes = _classes(file)
    found = next((body for body in classes.values() if _constant(body.get("model_type")) == model_type), None)
    return Defaults() if found is None else _read(found, classes)


@cache
def source_of(model_type: str) -> Path | None:
    """The file with transformers' configuration class of a model type."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return None
    models = Path(spec.origin).parent / "models"
    for folder in _folders(models, model_type):
        for file in sorted((models / folder).glob("configuration_*.py")):
            if f'"{model_type}"' in file.read_text(encoding="utf-8"):
                return file
    return None


def _folders(models: Path, model_type: str) -> Iterator[str]:
    """Where the class may be: in the folder of its name, or in the one that transformers' own list says."""
    yield model_type.replace("-", "_")
    listed = models / "auto" / "auto_mappings.py"
    text = listed.read_text(encoding="utf-8") if listed.is_file() else ""
    yield from re.findall(rf'\("{re.escape(model_type)}", "([a-z0-9_]+)"\)', text)
    for ending in ("_text_model", "_vision_model", "_text", "_vision"):
        if model_type.endswith(ending):
            yield model_type.removesuffix(ending)


@cache
def _classes(file: Path) -> dict[str, dict[str, ast.expr]]:
    """What each class of a file sets, inherited from others of the same file too."""
    found: dict[str, dict[str, ast.expr]] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            bases = [found.get(base.id, {}) for base in node.bases if isinstance(base, ast.Name)]
            found[node.name] = {name: value for body in (*bases, dict(_set(node))) for name, value in body.items()}
    return found


def _set(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for statement in node.body:
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
        value = getattr(statement, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                yield target.id, value


def _read(body: Mapping[str, ast.expr], classes: Mapping[str, Mapping[str, ast.expr]]) -> Defaults:
    values = {name: _constant(value) for name, value in body.items() if _is_constant(value)}
    parts: dict[str, Defaults] = {}
    for name in ("sub_configs", "sub_configs_defaults"):
        entries = body.get(name)
        for key, value in zip(entries.keys, entries.values, strict=True) if isinstance(entries, ast.Dict) else ():
            parts[str(_constant(key))] = _part(value, classes)
    other_names = values.pop("attribute_map", {})
    return Defaults(values, other_names if isinstance(other_names, dict) else {}, parts)


def _part(value: ast.expr, classes: Mapping[str, Mapping[str, ast.expr]]) -> Defaults:
    """Of a configuration within another one: its class, or the model type that it has where none is written."""
    words = {word.arg: word.value for word in value.keywords} if isinstance(value, ast.Call) else {}
    model_type = _constant(words.get("model_type"))
    if isinstance(model_type, str):
        known, given = defaults(model_type), _constant(words.get("init_kwargs"))
        own = given if isinstance(given, dict) else {}
        return Defaults({**known.values, "model_type": model_type, **own}, known.other_names, known.parts)
    named = words.get("config_class", value)
    return _read(classes[named.id], classes) if isinstance(named, ast.Name) and named.id in classes else Defaults()


def _is_constant(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError):
        return False
    return True


def _constant(value: ast.expr | None) -> Any:
    return ast.literal_eval(value) if value is not None and _is_constant(value) else None
