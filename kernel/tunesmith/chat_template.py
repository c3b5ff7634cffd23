"""Chat templates: conversations to text, with the spans that the assistant says. One source of truth for training,
inference and the exported tokenizer.

A template is Jinja as transformers, vLLM and TRL read it. `{% generation %} … {% endgeneration %}` marks what the
assistant says, its end-of-turn string included.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Message

# Unicode noncharacters: never part of interchanged text, so they can mark spans inside a rendering.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}]")
_GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


@dataclass(frozen=True)
class Span:
    """What the assistant says in one message, as a range of characters of the rendered text."""

    start: int
    end: int
    message: int  # index in the conversation


@dataclass(frozen=True)
class Rendered:
    """A conversation as text."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class ChatTemplate:
    """How a conversation becomes text."""

    name: str
    jinja: str
    stop: tuple[str, ...]  # strings that end the assistant's turn
    variables: Mapping[str, Any] = field(default_factory=dict)  # for the template: bos_token, enable_thinking, …

    def bind(self, processor: Any) -> ChatTemplate:
        """The same template with the special tokens of a tokenizer as variables (its own variables win)."""
        tokenizer = getattr(processor, "tokenizer", processor)
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: str(getattr(tokenizer, name)) for name in names if getattr(tokenizer, name, None) is not None}
        return replace(self, variables={**tokens, **self.variables})

    @property
    def exported(self) -> str:
        """The Jinja for other programs: the generation marks become `{% if true %}`, which renders the same."""
        return _GENERATION_TAG.sub(
            lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", self.jinja
        )

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        **variables: Any,
    ) -> Rendered:
        """Render a conversation.

        Args:
            messages: the turns, in canonical form.
            tools: JSON schemas of the functions that the assistant may call.
            add_generation_prompt: end with what precedes an answer.
            variables: for the template, over its own.

        Raises: DataError when the template refuses the conversation, with the template's reason.
        """
        marked = self._render(messages, tools, add_generation_prompt, variables)
        return _read_marks(marked, messages)

    def _render(
        self, messages: Sequence[Message], tools: Any, add_generation_prompt: bool, variables: Mapping[str, Any]
    ) -> str:
        from jinja2 import TemplateError

        try:
            return _compile(self.jinja).render(
                {
                    **self.variables,
                    **variables,
                    "messages": messages,
                    "tools": tools or None,
                    "add_generation_prompt": add_generation_prompt,
                }
            )
        except TemplateError as error:
            raise DataError(f"template {self.name} cannot render this conversation: {error}") from error


def _read_marks(marked: str, messages: Sequence[Message]) -> Rendered:
    """Take the marks out of a rendering and say where they stood."""
    if _OPEN not in marked:
        return Rendered(marked, ())
    bounds, shift = [], 0
    for mark in _MARKS.finditer(marked):
        bounds.append(mark.start() - shift)
        shift += 1
    assistants = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if len(bounds) != 2 * len(assistants):
        raise DataError(
            f"the template marks {len(bounds) / 2:g} generated spans for {len(assistants)} assistant messages"
        )
    spans = zip(bounds[::2], bounds[1::2], assistants, strict=True)
    return Rendered(_MARKS.sub("", marked), tuple(Span(*span) for span in spans))


@functools.lru_cache(maxsize=64)
def _compile(source: str) -> Any:
    """Compile a template in a sandbox with the names that transformers gives to chat templates."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

        def _mark(self, caller: Any) -> str:
            return f"{_OPEN}{caller()}{_CLOSE}"

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, **arguments: Any) -> str:
        arguments.setdefault("ensure_ascii", False)
        return json.dumps(value, **arguments)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    return environment.from_string(source)
