"""Jinja that keeps texts traced (`traced`) through what a template does with them, or stops.

Wherever Jinja, or a function that it calls, would look at a text without the text's noticing, it is given the text only
if it leaves it to it to answer.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.runtime import Macro
from jinja2.visitor import NodeTransformer

from tunesmith_library_chat.sandbox import LimitedEnvironment
from tunesmith_library_chat.spans import Marks
from tunesmith_library_chat.traced import Edge, Notes, Traced, Untraceable, holds_traced, joined

_FILTERS = frozenset(
    [
        "trim",
        "string",
        "default",
        "d",
        "length",
        "count",
        "first",
        "last",
        "list",
        "reverse",
        "replace",
        "lower",
        "upper",
        "capitalize",
        "select",
        "reject",
        "selectattr",
        "rejectattr",
        "map",
        "items",
        "dictsort",
        "join",
        "measured",
        "within",
    ]
)
_TESTS = frozenset(
    ["string", "mapping", "iterable", "sequence", "none", "defined", "undefined", "true", "false", "boolean", "number"]
)
_LISTS = ("map", "select", "reject", "selectattr", "rejectattr", "items")  # filters that give what is read once
_OF_A_DAY = frozenset("aAbBdDeFgGhjmnuUVwWxyYtC%")  # what `strftime` writes alike all day long
_DIRECTIVE = re.compile(r"%[-_0^#:\d]*[EO]?(.?)", re.DOTALL)


class TracingEnvironment(LimitedEnvironment):
    """Jinja for one template with traced texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters["within"] = _within

    @property
    def notes(self) -> Notes:
        """Of the rendering that this thread does."""
        notes: Notes = self._running.notes
        return notes

    def prepared(self) -> None:
        """Wrap filters, tests and functions, once all are there."""
        self.filters["join"] = functools.partial(_join, self)
        self.filters["random"] = _unrepeatable
        for name in _LISTS:
            self.filters[name] = _listing(self.filters[name])
        for name in ("iterable", "sequence"):
            self.tests[name] = _true_of_texts(self.tests[name])
        self.filters = {name: _watched(name, one, _FILTERS) for name, one in self.filters.items()}
        self.tests = {name: _watched(name, one, _TESTS) for name, one in self.tests.items()}
        self.globals["strftime_now"] = functools.partial(self._dated, self.globals["strftime_now"])

    def _dated(self, write: Any, pattern: str) -> Any:
        """The date, which is noted. Raises: Untraceable for the time of day."""
        from tunesmith_library_chat.sources import now

        if set(_DIRECTIVE.findall(pattern)) - _OF_A_DAY:
            raise Untraceable("the time is written")
        self.notes.day = now().date()
        return write(pattern)

    def from_string(self, source: Any, *arguments: Any, **named: Any) -> Any:
        """Compile a template, whose code then joins texts as `concat` does. Raises: Untraceable."""
        template = super().from_string(source, *arguments, **named)
        names = template.root_render_func.__globals__
        names["str_join"] = self.concat
        for name in ("markup_join", "escape", "Markup"):
            names[name] = _watched(name, names[name], frozenset())
        return template

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _Within().visit(tree)
        tree.set_environment(self)
        return tree

    def concat(self, parts: Iterable[Any]) -> str:
        """Put a rendering, or a part of it, together."""
        texts = [part if isinstance(part, str) else str(part) for part in parts]
        if any(isinstance(text, Traced) for text in texts):
            return joined(texts, self.notes)
        return super().concat(texts)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute an operation. Raises: Untraceable for one of a text that is no sum."""
        if operator != "+" and holds_traced((left, right)):
            raise Untraceable(f"{operator} of a text")
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function. Raises: Untraceable for one that is given a text and does not leave the answer to it."""
        wrapped = getattr(__obj, "__wrapped__", None)  # the sandbox wraps `format`
        if isinstance(getattr(wrapped, "__self__", None), Traced):
            raise Untraceable("format of a text")
        takes_texts = isinstance(__obj, Macro) or any(__obj is one for one in (__self.globals["namespace"], dict))
        if not takes_texts and not isinstance(getattr(__obj, "__self__", None), Traced):
            given = {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}
            marks = isinstance(getattr(__obj, "__self__", None), Extension)
            if not marks and holds_traced((args, given)):
                raise Untraceable(f"{getattr(__obj, '__name__', 'a function')} is given a text")
        return super().call(__context, __obj, *args, **kwargs)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look something up. Raises: Untraceable for a text of the conversation as key."""
        if isinstance(argument, Traced):
            raise Untraceable("a text is a key")
        return super().getitem(obj, argument)

    def traced(self, template: Any, values: Mapping[str, Any], notes: Notes) -> str:
        """Render one of this environment's templates with traced texts.

        Raises: Untraceable, and what `rendered` raises.
        """
        self._running.notes = notes
        return self.rendered(template, values)


class TracedMarks(Marks):
    """Marks that are pieces of their own."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def wrap(self, text: str) -> str:
        """The text between edges."""
        before, behind = (Traced("", (Edge(opens),), self._notes) for opens in (True, False))
        return joined((before, text, behind), self._notes)


class _Within(NodeTransformer):
    """`a in b`, where Python would look at a text without its noticing."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if not any(operand.op in ("in", "notin") for operand in node.ops):
            return node
        if len(node.ops) > 1:
            raise Untraceable("a chain of comparisons")
        (operand,) = node.ops
        found = nodes.Filter(operand.expr, "within", [node.expr], [], None, None, lineno=node.lineno)
        return nodes.Not(found, lineno=node.lineno) if operand.op == "notin" else found


def _within(container: Any, item: Any) -> bool:
    if isinstance(item, Traced):
        if not isinstance(container, list | tuple):
            raise Untraceable("a text is looked for")
        return any(item == one for one in container)
    return item in container


def _listing(function: Any) -> Any:
    """A filter that gives a list in place of what is read once, into which nobody can look."""

    @functools.wraps(function)
    def listing(*values: Any, **named: Any) -> list[Any]:
        return list(function(*values, **named))

    return listing


def _true_of_texts(test: Any) -> Any:
    """A test that every text passes."""

    @functools.wraps(test)
    def passes(value: Any) -> bool:
        return isinstance(value, Traced) or bool(test(value))

    return passes


def _join(environment: TracingEnvironment, values: Iterable[Any], separator: str = "", attribute: Any = None) -> str:
    if attribute is not None or isinstance(values, str):
        raise Untraceable("join by an attribute, or of characters")
    pairs = ((separator, value) for value in values)
    return environment.concat(list(itertools.chain.from_iterable(pairs))[1:])


def _unrepeatable(*_: Any, **__: Any) -> Any:
    raise Untraceable("something is drawn")


def _watched(name: str, function: Any, safe: frozenset[str]) -> Any:
    """A filter or test that is given texts of the conversation only where it leaves it to them to answer."""
    if name in safe:
        return function

    @functools.wraps(function)
    def watched(*values: Any, **named: Any) -> Any:
        first = 1 if hasattr(function, "jinja_pass_arg") else 0  # context or environment come before the value
        if holds_traced((*values[first:], named)):
            raise Untraceable(f"{name} of a text")
        return function(*values, **named)

    return watched
