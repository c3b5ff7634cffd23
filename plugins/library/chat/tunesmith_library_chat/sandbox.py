"""Where chat templates of others run: they reach nothing of Python's, and neither time nor memory without end.

Jinja's sandbox does the first. The rest is here: loops, macros and blocks look at the clock; what multiplies (texts,
numbers, lists in lists) is measured before it is made, or as soon as it is.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

SECONDS = 10.0  # of one rendering
LONGEST = 1 << 24  # characters of a text, items of a list
_NESTED = 200_000  # values in a list of lists, each as often as it is written out
_WIDEST = 100_000  # a number that is told to a filter or a method of texts
_BITS = 1 << 16  # of a whole number
_SLOW = {"urlize": _WIDEST, "wordwrap": _WIDEST, "striptags": _WIDEST, "pprint": _WIDEST}  # characters that they take
_WIDTH = re.compile(r"[%:.*<>^=+ -]\d{6,}|%[^a-zA-Z%]*\*")
_MEASURED = "measured"  # the filter that looks at what a template made


class TooMuch(TemplateError):
    """A template that takes more than one may."""


class LimitedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with limits of time and size."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._running = threading.local()
        self.filters = {name: _limited(name, function) for name, function in self.filters.items()}
        self.filters[_MEASURED] = measured
        self.globals["namespace"] = _Namespace
        del self.globals["lipsum"]

    @property
    def tick(self) -> None:
        """Read by each turn of a loop; raises TooMuch when the time is over."""
        if time.monotonic() > getattr(self._running, "until", float("inf")):
            raise TooMuch(f"it runs for more than {SECONDS:g} seconds")

    def rendered(self, template: Any, values: Mapping[str, Any]) -> str:
        """Render one of this environment's templates.

        Raises: TooMuch, and what templates raise.
        """
        self._running.until = time.monotonic() + SECONDS
        try:
            return str(template.render(values))
        except MemoryError as error:
            raise TooMuch("it takes more memory than there is") from error
        finally:
            del self._running.until

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Limits().visit(tree)
        tree.set_environment(self)
        return tree

    def concat(self, parts: Iterable[str]) -> str:
        """Put a rendering together, as long as it is not too long."""
        found, length = [], 0
        for part in parts:
            length += length_of(part)
            if length > LONGEST:
                raise TooMuch(f"it writes more than {LONGEST:,} characters")
            found.append(part)
        return "".join(found)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _refuse_growth(operator, left, right)
        return measured(super().call_binop(context, operator, left, right), deep=False)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __self.tick  # noqa: B018
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)  # the sandbox wraps `format`
        if isinstance(owner, str):
            _refuse_method(owner, getattr(__obj, "__name__", ""), args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        return measured(result) if isinstance(result, dict) else measured(result, deep=False)


class _Namespace(Namespace):
    """What `{% set a.b = … %}` writes to; its text says nothing of what it holds, which may be itself."""

    def __repr__(self) -> str:
        return "<Namespace>"


class _Limits(NodeTransformer):
    """Puts into a template what looks at clock and sizes."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        return _ticking(self.generic_visit(node))

    visit_Macro = visit_CallBlock = visit_Block = visit_For

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        made: nodes.Node = self.generic_visit(node)
        return nodes.Filter(made, _MEASURED, [], [], None, None, lineno=node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return self.visit_Concat(node) if node.items else node  # type: ignore[arg-type]

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return self.visit_Concat(node) if node.items else node  # type: ignore[arg-type]

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self.visit_Concat(node) if node.ctx == "load" and node.items else node  # type: ignore[arg-type]


def _ticking(node: Any) -> nodes.Node:
    tick = nodes.ExprStmt(nodes.EnvironmentAttribute("tick", lineno=node.lineno), lineno=node.lineno)
    node.body.insert(0, tick)
    made: nodes.Node = node
    return made


def measured(value: Any, deep: bool = True) -> Any:
    """A value that a template made, if it is not too large.

    Raises: TooMuch.
    """
    if isinstance(value, str | list | tuple | dict) and length_of(value) > LONGEST:
        raise TooMuch(f"it makes more than {LONGEST:,} characters or items")
    if deep and isinstance(value, list | tuple | dict):
        left, waiting = _NESTED, [value]
        while waiting:
            item = waiting.pop()
            left -= 1 + (len(item) if isinstance(item, list | tuple | dict) else 0)
            if left < 0:
                raise TooMuch(f"it makes lists of more than {_NESTED:,} values")
            inside: Iterable[Any] = item.values() if isinstance(item, dict) else item
            waiting += [one for one in inside if isinstance(one, list | tuple | dict)]
    return value


def length_of(value: Any) -> int:
    """The length of a value, without asking a text that notes what it is asked."""
    return str.__len__(value) if isinstance(value, str) else len(value)


def _refuse_growth(operator: str, left: Any, right: Any) -> None:
    """Refuse an operation whose result would be too large, before it is computed."""
    if operator == "%" and isinstance(left, str) and _WIDTH.search(left):
        raise TooMuch("it writes a text of too great a width")
    if isinstance(left, int) and isinstance(right, int):
        bits = {"*": left.bit_length() + right.bit_length(), "**": left.bit_length() * max(right, 0)}.get(operator, 0)
        if bits > _BITS:
            raise TooMuch("it computes too large a number")
    elif operator == "*":
        times, repeated = (left, right) if isinstance(left, int) else (right, left)
        if (
            isinstance(times, int)
            and isinstance(repeated, str | list | tuple)
            and times * length_of(repeated) > LONGEST
        ):
            raise TooMuch(f"it makes more than {LONGEST:,} characters or items")


def _refuse_method(text: str, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Refuse a method of a text whose result would be too long."""
    _refuse_numbers((*args, *named.values()))
    length = length_of(text)
    if name == "replace" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        length += str.count(text, args[0]) * length_of(args[1])
    elif name == "join" and args and hasattr(args[0], "__len__"):
        length = length * length_of(args[0]) + sum(length_of(one) for one in args[0] if isinstance(one, str))
    elif name == "expandtabs":
        length += str.count(text, "\t") * max((one for one in args if isinstance(one, int)), default=8)
    elif name in ("format", "format_map") and re.search(r"\d{6,}|:[^}]*\{", text):
        length = LONGEST + 1
    if length > LONGEST:
        raise TooMuch(f"it makes more than {LONGEST:,} characters")


def _refuse_numbers(values: Iterable[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > _WIDEST for value in values):
        raise TooMuch(f"it gives a text a width of more than {_WIDEST:,}")


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's that refuses to multiply."""

    @functools.wraps(function)
    def limited(*values: Any, **named: Any) -> Any:
        first = 1 if hasattr(function, "jinja_pass_arg") else 0  # context or environment come before the value
        value, options = values[first] if len(values) > first else None, (*values[first + 1 :], *named.values())
        _refuse_numbers(() if name in ("default", "d", "int", "float", "sum", "tojson") else options)
        if isinstance(value, str):
            if length_of(value) > _SLOW.get(name, LONGEST):
                raise TooMuch(f"it gives {length_of(value):,} characters to {name}")
            if name == "replace":
                _refuse_method(value, name, tuple(values[first + 1 : first + 3]), {})
            if name == "format" and _WIDTH.search(value):
                raise TooMuch("it writes a text of too great a width")
        if name == "join" and options and isinstance(options[0], str) and hasattr(value, "__len__"):
            _refuse_method(options[0], name, (value,), {})
        return measured(function(*values, **named))

    return limited
