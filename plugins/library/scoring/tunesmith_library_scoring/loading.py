"""Functions of the user's own, by where they are: `file.py:name`, or `package.module:name`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith.types import Problem

_FORM = "give FILE.py:FUNCTION, or MODULE:FUNCTION of an installed module"


def problems_of(path: str, key: str) -> list[Problem]:
    """What is wrong with where a function is said to be, without importing anything.

    Args:
        key: the option that says it.
    """
    where, _, name = path.rpartition(":")
    if not where or not name.isidentifier():
        return [Problem(key, f"{path!r} names no function.", _FORM)]
    if not where.endswith(".py"):
        return []
    file = Path(where).expanduser()
    if not file.is_file():
        return [Problem(key, f"there is no file {where}.", f"looked from {Path.cwd()}")]
    try:
        defined = _defined(ast.parse(file.read_text(encoding="utf-8")))
    except SyntaxError as error:
        return [Problem(key, f"line {error.lineno} of {where} is not Python: {error.msg}.")]
    return [] if name in defined else [Problem(key, f"{where} defines no {name}.", choices(name, defined))]


def load(path: str, plugin: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        plugin: that is told in errors.

    Raises: TunesmithError when there is none.
    """
    where, _, name = path.rpartition(":")
    if where.endswith(".py"):
        file = Path(where).expanduser().resolve()
        spec = importlib.util.spec_from_file_location(f"tunesmith_function_of_{file.stem}", file)
        if spec is None or spec.loader is None or not file.is_file():
            raise TunesmithError(f"there is no file {file}.\n  {_FORM}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise TunesmithError(f"{plugin}: {where} cannot be imported: {error}.\n  {_FORM}") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise TunesmithError(f"{where} has no function {name}.\n  {choices(name, vars(module))}")
    return function


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module defines, assigns or imports at its top level."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names
