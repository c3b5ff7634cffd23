"""What can be exported, before anything is loaded: by the model builder's own table, read without importing it."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import nearest
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

PROGRAM = "onnxruntime_genai"
INSTALL = "pip install 'tunesmith-exporter-onnx[programs]'"
_PACKAGES = {
    **{PROGRAM: "onnxruntime-genai", "onnxruntime": "onnxruntime"},
    **{"onnx": "onnx", "onnx_ir": "onnx-ir", "onnxscript": "onnxscript"},
}


def missing_packages() -> list[Problem]:
    """The problem of programs that are not installed; they both write and run what is exported."""
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return []
    message = f"exporter=onnx writes with {', '.join(_PACKAGES.values())}, and not installed: {', '.join(missing)}."
    return [Problem("exporter.onnx", message, INSTALL)]


def unknown_architecture(plan: Plan) -> list[Problem]:
    """The problem of a model that the builder does not know, where its config.json is at hand.

    A stage that makes another model of it, such as a classifier, is none of the builder's.
    """
    stage = plan.plugin("stage")
    if hasattr(stage, "load_model"):
        return []
    found = architecture_of(Path(str(plan.get("model.path", ""))).expanduser())
    known = architectures()
    if found is None or not known or found in known:
        return []
    return [Problem("model.path", *unknown(found, known))]


def unknown(architecture: str, known: frozenset[str]) -> tuple[str, str]:
    """What is wrong with an architecture that the builder does not know, and what is possible instead."""
    near = nearest(architecture, sorted(known))
    message = f"exporter=onnx: the model builder of onnxruntime-genai knows no {architecture}."
    did_you_mean = f" (the nearest: {near})" if near else ""
    return message, f"it knows {', '.join(sorted(known))}{did_you_mean}; or exporter=merged"


def architecture_of(folder: Path) -> str | None:
    """The class that a folder's config.json names; None where there is none at hand."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = said.get("architectures") if isinstance(said, dict) else None
    return str(names[0]) if names else None


def builder_folder() -> Path | None:
    """The folder of the model builder's modules; None where the package is not installed."""
    spec = importlib.util.find_spec(PROGRAM)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = (Path(place) / "models" for place in places)
    return next((folder for folder in found if (folder / "builder.py").is_file()), None)


@functools.cache
def architectures() -> frozenset[str]:
    """The classes that the builder compares a model's with; none where it is not installed."""
    folder = builder_folder()
    if folder is None:
        return frozenset()
    return frozenset(_compared(ast.parse((folder / "builder.py").read_text(encoding="utf-8"))))


def _compared(tree: ast.AST) -> Iterator[str]:
    """The texts of all `config.architectures[0] == "…"`."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Compare) and isinstance(node.left, ast.Subscript)):
            continue
        owner = node.left.value
        if isinstance(owner, ast.Attribute) and owner.attr == "architectures" and isinstance(node.ops[0], ast.Eq):
            yield from (each.value for each in node.comparators if _is_text(each))  # type: ignore[attr-defined]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
