"""A reward that is a function of the user's own: Python code that the user wrote, run in the training process."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.ranges import between, path_like
from tunesmith.types import Message, Problem

_KEY = "reward.function.path"
_FORM = "give FILE.py:FUNCTION, or MODULE:FUNCTION of an installed module"


@plugin
class Function:
    """Calls `function(prompts, completions, rows)`, which gives one number per answer.

    `prompts` are conversations (lists of messages), `completions` texts, `rows` the other columns of each prompt.
    """

    guarded: ClassVar[tuple[str, ...]] = ("path",)

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    path: Annotated[str, path_like]  # where the function is: rewards.py:brevity, or package.module:brevity

    _function: Callable[..., Any] | None = None

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        where, _, name = self.path.rpartition(":")
        if not where or not name.isidentifier():
            return [Problem(_KEY, f"{self.path!r} names no function.", _FORM)]
        if not where.endswith(".py"):
            return []
        file = Path(where).expanduser()
        if not file.is_file():
            return [Problem(_KEY, f"there is no file {where}.", f"looked from {Path.cwd()}")]
        try:
            defined = _defined(ast.parse(file.read_text(encoding="utf-8")))
        except SyntaxError as error:
            return [Problem(_KEY, f"line {error.lineno} of {where} is not Python: {error.msg}.")]
        return [] if name in defined else [Problem(_KEY, f"{where} defines no {name}.", choices(name, defined))]

    @hookimpl
    def score(
        self, prompts: Sequence[Sequence[Message]], completions: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        if self._function is None:
            self._function = load(self.path)
        if not completions:
            return []
        scores = self._function(
            [[dict(message) for message in prompt] for prompt in prompts], list(completions), [dict(r) for r in rows]
        )
        return _checked(scores, len(completions), self.path)


def load(path: str) -> Callable[..., Any]:
    """Import a function.

    Raises: TunesmithError when there is none.
    """
    where, _, name = path.rpartition(":")
    if where.endswith(".py"):
        file = Path(where).expanduser().resolve()
        spec = importlib.util.spec_from_file_location(f"tunesmith_reward_function_of_{file.stem}", file)
        if spec is None or spec.loader is None or not file.is_file():
            raise TunesmithError(f"there is no file {file}.\n  {_FORM}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise TunesmithError(f"reward.function: {where} cannot be imported: {error}.\n  {_FORM}") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise TunesmithError(f"{where} has no function {name}.\n  {choices(name, vars(module))}")
    return function


def _checked(scores: Any, count: int, path: str) -> list[float]:
    """Plain numbers, one per answer.

    Raises: TunesmithError that says what the function gave instead.
    """
    try:
        values = [float(value) for value in scores]
    except (TypeError, ValueError) as error:
        raise TunesmithError(f"{path} gave {type(scores).__name__}, not a list of numbers: {error}") from error
    if len(values) != count:
        raise TunesmithError(f"{path} gave {len(values)} scores for {count} answers")
    wrong = next((index for index, value in enumerate(values) if not math.isfinite(value)), None)
    if wrong is not None:
        raise TunesmithError(f"{path} gave {values[wrong]} for answer {wrong} of the batch")
    return values


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
