"""A source file as `message_flow` reads it: its functions, its classes, and where names are imported from."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass
class Module:
    """One source file."""

    path: Path

    @cached_property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse("\n".join(self.lines))

    @cached_property
    def functions(self) -> dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
        found: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.setdefault(node.name, []).append(node)
        return found

    @cached_property
    def name(self) -> str:
        """Its dotted name."""
        package = next(folder for folder in reversed(self.path.parents) if (folder / "__init__.py").exists())
        inner = self.path.relative_to(package.parent).with_suffix("")
        return ".".join(part for part in inner.parts if part != "__init__")

    @cached_property
    def imported(self) -> dict[str, str]:
        """The modules that names are imported from."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                package = self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]
                parents = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)]
                home = ".".join([*(parents if node.level else ()), *([node.module] if node.module else ())])
                found |= {alias.asname or alias.name: home for alias in node.names}
        return found

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)]

    @cached_property
    def scopes(self) -> dict[ast.AST, ast.AST]:
        """The function, or the module, that each node stands in."""
        found: dict[ast.AST, ast.AST] = {}

        def enter(node: ast.AST, scope: ast.AST) -> None:
            for child in ast.iter_child_nodes(node):
                found[child] = scope
                enter(child, child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope)

        enter(self.tree, self.tree)
        return found
