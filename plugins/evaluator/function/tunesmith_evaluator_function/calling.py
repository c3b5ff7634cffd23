"""The user's function: what it is called with, and what it may give."""

from __future__ import annotations

import copy
import inspect
import math
import traceback
from collections.abc import Mapping
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_evaluating.replies import Reply
from tunesmith_library_scoring.loading import load

_ARGUMENTS = ("prompt", "prediction", "answer", "row", "thought", "calls", "unfinished")
_TAKEN = {"dataset", "index", "prompt", "prediction", "answer", "thought", "calls", "unfinished", "truncated", "weight"}


class Scoring:
    """A function that is called by the names of its arguments.

    Raises: TunesmithError when there is none, or it wants an argument that nobody gives.
    """

    def __init__(self, path: str) -> None:
        self._path, self._function = path, load(path, "evaluator.function")
        wanted = inspect.signature(self._function).parameters.values()
        every = any(each.kind is each.VAR_KEYWORD for each in wanted)
        named = [each for each in wanted if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        unknown = [each.name for each in named if each.name not in _ARGUMENTS and each.default is each.empty]
        if unknown:
            raise TunesmithError(f"{path} wants {unknown[0]}.\n{choices(unknown[0], _ARGUMENTS, 'it may name')}")
        self._names = _ARGUMENTS if every else tuple(each.name for each in named if each.name in _ARGUMENTS)

    def numbers(self, reply: Reply) -> dict[str, float]:
        """What it gives for an answer; a number without a name is the `score`.

        Raises: TunesmithError for a function that fails or gives something else, with the row.
        """
        answer, prompt = reply.answer, reply.prompt
        given = (prompt.messages, answer.text, prompt.answer, prompt.columns)
        given += (answer.thought, list(answer.calls), answer.unfinished)  # type: ignore[assignment]
        arguments = {name: value for name, value in zip(_ARGUMENTS, given, strict=True) if name in self._names}
        place = f"{self._path}, at row {reply.index} of data set {prompt.dataset}"
        try:
            found = self._function(**copy.deepcopy(arguments))
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{line.filename}:{line.lineno}"
            raise TunesmithError(f"{place}: {type(error).__name__}: {error}\n  {where}: {line.line}") from error
        return _read(found, place)


def _read(found: Any, place: str) -> dict[str, float]:
    named = found if isinstance(found, Mapping) else {"score": found}
    numbers = {}
    for name, value in named.items():
        if not isinstance(name, str) or not name or name in _TAKEN:
            raise TunesmithError(f"{place}: it named a number {name!r}, which is no name, or that of something else")
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError) as error:
            told = f"{name}: {value!r:.60}" if isinstance(found, Mapping) else f"{found!r:.60}"
            raise TunesmithError(f"{place}: it gave {told}, where a number is wanted, or numbers by name") from error
        if not math.isfinite(numbers[name]):
            raise TunesmithError(f"{place}: it gave {name}: {numbers[name]}")
    return numbers
