"""What Ollama takes in a Modelfile and as a name, so that it is said before a model is loaded what it would refuse."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tunesmith.errors import choices
from tunesmith.types import Problem

_ANY = math.inf


@dataclass(frozen=True)
class Limits:
    """The values that a parameter may have."""

    lowest: float = -_ANY
    highest: float = _ANY
    whole: bool = False

    def hold(self, value: float) -> bool:
        return self.lowest <= value <= self.highest and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        numbers = "whole numbers" if self.whole else "numbers"
        if self.highest == _ANY:
            return numbers if self.lowest == -_ANY else f"{numbers} from {self.lowest:g} on"
        return f"{numbers} from {self.lowest:g} to {self.highest:g}"


_SHARE = Limits(0, 1)
PARAMETERS: Mapping[str, Limits] = {
    "num_ctx": Limits(1, whole=True),
    "temperature": Limits(0),
    "top_k": Limits(-1, whole=True),  # 0 and -1 leave all tokens
    **{"top_p": _SHARE, "min_p": _SHARE, "typical_p": _SHARE},
    "repeat_penalty": Limits(math.ulp(0.0)),
    "repeat_last_n": Limits(-1, whole=True),  # -1 is num_ctx
    "seed": Limits(whole=True),
    **{"presence_penalty": Limits(), "frequency_penalty": Limits()},
    "num_predict": Limits(-2, whole=True),  # -1 has no end, -2 fills the context
    "num_keep": Limits(-1, whole=True),
    "num_batch": Limits(1, whole=True),
    "num_gpu": Limits(-1, whole=True),
    "num_thread": Limits(0, whole=True),
}
"""Ollama's parameters but `stop`, which comes of the template."""

_BUILT_IN = re.compile(r"[\w.-]+", re.ASCII)
# [[host/]namespace/]model[:tag]
_NAME = re.compile(r"((\w[\w.:-]{0,349}/)?\w[\w-]{0,79}/)?\w[\w.-]{0,79}(:\w[\w.-]{0,79})?", re.ASCII)


def parameter_problems(key: str, given: Mapping[str, float]) -> Iterator[Problem]:
    """Parameters that Ollama does not have, or not with such values.

    Args:
        key: of the exporter, as in `exporter.ollama`.
    """
    for name, value in given.items():
        place = f"{key}.parameters.{name}"
        if name == "stop":
            yield Problem(place, f"{place} is no number: what ends an answer comes of the template.", "leave it out")
        elif name not in PARAMETERS:
            yield Problem(place, f"Ollama has no parameter {name}.", choices(name, PARAMETERS, "it has"))
        elif not PARAMETERS[name].hold(value):
            said = "above 0" if name == "repeat_penalty" else str(PARAMETERS[name])
            yield Problem(place, f"{place}={value:g} is none that Ollama takes.", f"possible: {said}")


def name_problems(key: str, name: str | None, built_in: Mapping[str, str | None]) -> Iterator[Problem]:
    """Names that Ollama does not take.

    Args:
        name: of the model; None for that of a folder.
        built_in: what Ollama has inside, by the option that names it.
    """
    if name is not None and not _NAME.fullmatch(name):
        advice = f"letters, digits, - _ . as in name, name:tag, namespace/name:tag; such as {plain_name(name)}"
        yield Problem(f"{key}.name", f"{key}.name={name!r} is no name that Ollama takes.", advice)
    for option, named in built_in.items():
        if named is not None and not _BUILT_IN.fullmatch(named):
            message = f"{key}.{option}={named!r} is no name of what Ollama has inside."
            yield Problem(f"{key}.{option}", message, "such as qwen3-coder: letters, digits, - _ .")


def system_problems(key: str, system: str | None) -> Iterator[Problem]:
    """A system message that cannot stand between three quotes."""
    if system is not None and holds_quotes(system):
        message = f'{key}.system holds """ or ends with ", which a Modelfile has no way to write.'
        yield Problem(f"{key}.system", message, "write other quotes, or end it with another character")


def holds_quotes(text: str) -> bool:
    """Whether a text cannot stand between three quotes."""
    return '"""' in text or text.endswith('"')


def plain_name(text: str) -> str:
    """A name that Ollama takes, as near to a text as can be, in small letters."""
    return re.sub(r"[^\w.-]+", "-", text.lower(), flags=re.ASCII)[:80].strip("-.") or "model"
