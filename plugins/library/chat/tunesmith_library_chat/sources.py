"""The Jinja of chat templates: compiled in a sandbox, and written for other programs."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tunesmith.errors import DataError, TunesmithError

from tunesmith_library_chat.spans import Marks

GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
_DEEPEST = 64  # spaces that JSON is indented by
MARKS = "generation_marks"  # the variable that carries a rendering's `Marks` to the tag


def now() -> datetime:
    """The time by which templates write the date."""
    return datetime.now()


def exported_source(source: str, variables: Mapping[str, Any]) -> str:
    """A template for other programs, with its variables as defaults; special tokens are left to the tokenizer."""
    settings = "".join(
        f"{{%- set {name} = {name} | default({_literal(value)}) %}}"
        for name, value in variables.items()
        if value is not None and not name.endswith("_token")
    )
    if settings and source.startswith("\n"):  # Jinja trims a line break behind a statement, not an expression
        settings += "{{ '' }}"
    return settings + GENERATION_TAG.sub(
        lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", source
    )


def _literal(value: Any) -> str:
    """A value as Jinja writes it; JSON but for its three words."""
    words = {None: "none", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@functools.lru_cache(maxsize=64)
def compiled(source: str) -> Any:
    """Compile a template in a sandbox with the names that transformers gives to chat templates."""
    import jinja2

    from tunesmith_library_chat.sandbox import LimitedEnvironment

    try:
        return environment_of(LimitedEnvironment).from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise DataError(f"line {error.lineno} of the chat template is not Jinja: {error}") from error
    except (SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as error:  # of Python's own compiler
        raise DataError(f"the chat template is too deep, or too large, to be compiled: {error}") from error


def environment_of(kind: Callable[..., Any]) -> Any:
    """An environment for a template, with the names that transformers gives to chat templates.

    Args:
        kind: a `LimitedEnvironment`.
    """
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols

    from tunesmith_library_chat.sandbox import TooMuch

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            call = self.call_method("_mark", [nodes.Name(MARKS, "load")])
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _mark(self, marks: Any, caller: Any) -> str:
            return marks.wrap(caller()) if isinstance(marks, Marks) else caller()

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **arguments: Any) -> str:
        if isinstance(arguments.get("indent"), int) and arguments["indent"] > _DEEPEST:
            raise TooMuch(f"it indents JSON by {arguments['indent']:,}")
        return json.dumps(value, ensure_ascii=ensure_ascii, **arguments)

    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda pattern: now().strftime(pattern)
    return environment


def fill_in(source: str, values: Mapping[str, Any]) -> str:
    """What a template makes of values, within limits of time and size.

    Raises: DataError for what is not Jinja; TunesmithError for a template that goes past the limits, which no other
        conversation mends; and what templates raise.
    """
    template = compiled(source)
    from tunesmith_library_chat.sandbox import TooMuch

    try:
        text: str = template.environment.rendered(template, values)
    except TooMuch as error:
        raise TunesmithError(f"the chat template was stopped: {error}.\nchoose another: template=NAME") from error
    return text
