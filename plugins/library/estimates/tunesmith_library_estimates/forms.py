"""Forms of models: which weights an architecture has, told as data, in the files of the folder `forms`.

A file has blocks, and a block one thing in each line:

    block attention
      width ?= hidden_size // num_attention_heads
      self_attn.q_proj linear num_attention_heads*width hidden_size +attention_bias
      use norms if has_norms
      use expert at experts.{number} for number in num_experts

A weight is a path, a kind and its shape; `+` and a condition give it a bias. `use` has another block's lines stand
here, `at` a path, `of` a part of the configuration. `for` repeats a line, `if` leaves it out. `=` sets a name, `?=` one
that neither the configuration nor a block around it sets. `pairs` and `flops` are operations of a forward pass, for
each token that a token looks at (within a `window`), and for each token beside the products with weights. `part` says
which part of the model the lines after it belong to. What follows a line's words is an expression of Python over the
values of the configuration; a shape's have no spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, get_args

from tunesmith_library_estimates.defaults import complete
from tunesmith_library_estimates.estimation import Kind, Part, Weight

_FOLDER = Path(__file__).parent / "forms"
_KINDS = get_args(Kind)
_BARE = ("experts", "other")  # kinds whose path is the whole name
_FUNCTIONS = {function.__name__: function for function in (bool, int, isinstance, len, list, max, min, round, str)}
_NOTHING: dict[str, Any] = {"__builtins__": {}}
_LINE = re.compile(r"(?P<what>.*?)(?: for (?P<variable>\w+) in (?P<count>.*?))?(?: if (?P<condition>.*))?")


@dataclass
class Found:
    """What the lines of a form add up to."""

    weights: list[Weight] = field(default_factory=list)
    flops: float = 0.0  # for each token, beside the products with weights
    pairs: float = 0.0  # for each token that a token looks at
    windows: dict[int, float] = field(default_factory=dict)  # of these, in layers that look back so many tokens


class _Values(dict[str, Any]):
    """Values by name; None for a name that nobody set."""

    def __missing__(self, name: str) -> Any:
        return _FUNCTIONS.get(name)


@dataclass(frozen=True)
class _Line:
    words: tuple[str, ...]  # of a setting its name, sign and expression
    variable: str | None
    count: str | None
    condition: str | None


def has_form(name: str) -> bool:
    """Whether there is a block of this name."""
    return name in _blocks()


def read(name: str, config: Mapping[str, Any]) -> Found:
    """What a block gives with the values of a configuration, which is complete.

    Raises: TypeError, LookupError or ArithmeticError where the configuration lacks a value, or has another form.
    """
    found = Found()
    _run(name, _Values(config), "", "language", found)
    return found


def _run(name: str, values: _Values, prefix: str, part: Part, found: Found) -> None:
    for line in _blocks()[name]:
        for step in range(int(_value(line.count, values))) if line.count else (None,):
            if line.variable is not None:
                values[line.variable] = step
            if line.condition is None or _value(line.condition, values):
                part = _do(line.words, values, prefix, part, found)


def _do(words: tuple[str, ...], values: _Values, prefix: str, part: Part, found: Found) -> Part:
    """Do what a line says. Returns: the part of the model that the next line belongs to."""
    first, *others = words
    match others:
        case ["=", expression]:
            values[first] = _value(expression, values)
        case ["?=", expression]:
            if values.get(first) is None:
                values[first] = _value(expression, values)
        case [kind, *shape] if kind in _KINDS:
            found.weights += _weights(prefix + _filled(first, values), kind, shape, values, part)
        case [expression] if first == "flops":
            found.flops += _value(expression, values)
        case [expression, *window] if first == "pairs":
            flops, size = _value(expression, values), _value(window[1], values) if window else None
            found.pairs += flops
            if size:
                found.windows[size] = found.windows.get(size, 0.0) + flops
        case [name] if first == "part":
            return name  # type: ignore[return-value]  # a file of this package says so
        case [block, *places] if first == "use":
            told = dict(zip(places[::2], places[1::2], strict=True))
            inside = _Values(values)
            if "of" in told:
                inside = _Values({**complete(values[told["of"]]), "outer": values})
            at = f"{_filled(told['at'], values)}." if "at" in told else ""
            _run(_filled(block, inside), inside, prefix + at, part, found)
        case _:
            raise ValueError(f"forms: {' '.join(words)}")
    return part


def _weights(path: str, kind: Any, shape: list[str], values: _Values, part: Part) -> Iterator[Weight]:
    sizes = tuple(int(_value(size, values)) for size in shape if not size.startswith("+"))
    name = path if kind in _BARE else f"{path}.weight"
    yield Weight(name, sizes, kind, 16, stands_in=part)
    if len(shape) > len(sizes) and _value(shape[-1][1:], values):
        bias = f"{name.removesuffix('.weight')}.bias"
        yield Weight(bias, sizes[:1], "norm" if kind == "norm" else "other", 16, stands_in=part)


def _filled(text: str, values: _Values) -> str:
    return text.format_map(values) if "{" in text else text


def _value(expression: str, values: _Values) -> Any:
    return eval(_compiled(expression), _NOTHING, values)  # of this package's own files alone


@cache
def _compiled(expression: str) -> CodeType:
    return compile(expression, "forms", "eval")


@cache
def _blocks() -> dict[str, list[_Line]]:
    """All blocks of all files, by name."""
    found: dict[str, list[_Line]] = {}
    for file in sorted(_FOLDER.glob("*.txt")):
        for written in file.read_text(encoding="utf-8").splitlines():
            line = written.partition("#")[0].strip()
            if line.startswith("block "):
                for name in (names := line.split()[1:]):
                    found[name] = found[names[0]] = found.get(names[0], [])
            elif line:
                found[names[0]].append(_parsed(line))
    return found


def _parsed(line: str) -> _Line:
    setting = re.fullmatch(r"(\w+) (\??=) (.*)", line)
    if setting:
        return _Line(tuple(setting.groups()), None, None, None)
    told = _LINE.fullmatch(line)
    assert told is not None, line
    words = told["what"].split()
    if (words[0] == "pairs" and "window" not in words) or words[0] == "flops":
        words = [words[0], " ".join(words[1:])]
    return _Line(tuple(words), told["variable"], told["count"], told["condition"])
