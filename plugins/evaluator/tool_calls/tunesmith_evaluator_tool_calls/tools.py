"""The tools of a row, and the calls that are expected or made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunesmith import DataError
from tunesmith_library_evaluating.prompts import Prompt
from tunesmith_library_scoring.schemas import validator_of


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    name: str
    arguments: Any  # a mapping; a text where it is no JSON

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Call:
        """Read a call of a message or an answer, whose arguments may be JSON as text."""
        told = told.get("function", told)
        arguments = told.get("arguments")
        if isinstance(arguments, str):
            try:
                read = json.loads(arguments or "{}")
            except ValueError:
                read = arguments
            arguments = read if isinstance(read, dict) else arguments
        return cls(str(told.get("name", "")), {} if arguments is None else arguments)


@dataclass(frozen=True)
class Tools:
    """The tools of a row."""

    validators: Mapping[str, Any]  # of the arguments, by the function's name; None where any will do

    @classmethod
    def of(cls, prompt: Prompt, index: int) -> Tools:
        """Read the tools of a prompt.

        Raises: DataError for one without a name, or whose parameters are no schema, with its place.
        """
        validators = {}
        for tool in prompt.tools or ():
            place = f"tool_calls: data set {prompt.dataset}, row {index}"
            function = tool.get("function", tool) if isinstance(tool, Mapping) else None
            if not isinstance(function, Mapping) or not function.get("name"):
                raise DataError(f"{place}: a tool has no name: {tool!r:.80}")
            parameters = function.get("parameters")
            try:
                validators[str(function["name"])] = validator_of(parameters) if parameters else None
            except DataError as error:
                raise DataError(f"{place}: the parameters of {function['name']}: {error}") from error
        return cls(validators)

    def problem(self, call: Call) -> str | None:
        """Why a call cannot be carried out; None where it can."""
        if call.name not in self.validators:
            return f"there is no function {call.name or 'without a name'}"
        if not isinstance(call.arguments, dict):
            return f"the arguments of {call.name} are no JSON object: {call.arguments!r:.80}"
        validator = self.validators[call.name]
        wrong = None if validator is None else next(iter(validator.iter_errors(call.arguments)), None)
        return None if wrong is None else f"{call.name}: {wrong.json_path}: {wrong.message}"
