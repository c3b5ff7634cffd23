"""What is wrong with a test itself, whatever program it is to judge: it is no Python, or nothing in it can fail."""

from __future__ import annotations

import ast
import functools
import warnings

_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@functools.lru_cache(maxsize=4096)
def fault_of(test: str) -> str:
    """What is wrong with a test, "" for nothing.

    A test that cannot be compiled fails every program, and one that does nothing passes every program: neither tells
    programs apart. HumanEval's own tests define `check(candidate)` and leave the call to whoever runs them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(test, "test.py")
            compile(tree, "test.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        line = next(iter(test.splitlines()[(error.lineno or 1) - 1 :]), "").strip()
        return f"is no Python: {error.msg}, in line {error.lineno}: {line[:80]}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # a NUL, half a surrogate pair, nesting
        return f"is no Python: {str(error) or type(error).__name__!a}"
    if not all(map(_is_idle, tree.body)):
        return ""
    names = [node.name for node in tree.body if isinstance(node, _DEFINED)]
    idle = f"only defines {', '.join(names)} and never calls it" if names else "is empty"
    return f"{idle}, so every program that starts would pass"


def _is_idle(node: ast.stmt) -> bool:
    """Whether a statement does nothing with the program: an import, a definition, a text, a constant with a name."""
    if isinstance(node, _DEFINED):
        return not node.decorator_list
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node.value or ast.Constant(None)))
    return isinstance(node, ast.Import | ast.ImportFrom)
