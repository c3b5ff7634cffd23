"""Python files that a user names, read without being run."""

from __future__ import annotations

import ast
from pathlib import Path


def defined_in(file: Path) -> list[str]:
    """The public classes and functions of a file; [] for one that is not Python."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return []
    things = (node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef))
    return [name for name in things if not name.startswith("_")]
