"""Chat templates: conversations to text, with the spans that the assistant says. One source of truth for training,
inference and the exported tokenizer.

A template is Jinja as transformers, vLLM and TRL read it. `{% generation %} … {% endgeneration %}` marks what the
assistant says, its end-of-turn string included; templates without marks are searched for it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import resources
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.types import Answer, Conversation, Message, Piece, Request, Sampling

from tunesmith_library_chat.messages import canonical, content_form, content_in
from tunesmith_library_chat.reading import read, reading_of
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.requests import request_of
from tunesmith_library_chat.spans import Marks, Search, assign, clip, cut_after
from tunesmith_library_chat.spelling import Tokens, Unmarked, free_mark, marked, spells
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import added_tokens, special_tokens

_GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
_MARKS = "generation_marks"  # the variable that carries a rendering's `Marks` to the tag


@dataclass(frozen=True)
class ChatTemplate:
    """How a conversation becomes text."""

    name: str
    jinja: str
    stop: tuple[str, ...]  # strings that end the assistant's turn
    variables: Mapping[str, Any] = field(default_factory=dict)  # for the template: bos_token, enable_thinking, …
    # whether a control token that a conversation spells is text, or that token
    special_tokens: Literal["text", "parse"] = "text"
    control: Tokens = ()  # what a conversation may not forge: special tokens, and what else marks turns; see `bind`

    @classmethod
    def packaged(cls, package: str, file: str, name: str, *stop: str) -> ChatTemplate:
        """A template whose Jinja is a file inside an installed package."""
        return cls(name, resources.files(package).joinpath(file).read_text(encoding="utf-8"), stop)

    def bind(self, processor: Any) -> ChatTemplate:
        """The same template with the special tokens of a tokenizer as variables (its own variables win).

        They are also what conversations cannot write from now on, unless `special_tokens` is `parse`.
        """
        tokenizer = tokenizer_of(processor)
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        tokens = {name: str(getattr(tokenizer, name)) for name in names if getattr(tokenizer, name, None) is not None}
        bound = replace(self, variables={**tokens, **self.variables}, control=())
        if self.special_tokens == "parse":
            return bound
        return replace(bound, control=(*special_tokens(tokenizer), *_turn_marks(bound, tokenizer)))

    def with_variables(self, **variables: Any) -> ChatTemplate:
        """The same template with further variables; those of value None are left to the template."""
        given = {name: value for name, value in variables.items() if value is not None}
        return replace(self, variables={**self.variables, **given})

    def with_default_system(self, text: str | None) -> ChatTemplate:
        """The same template, which writes `text` as the system message of conversations that have none.

        It is part of the Jinja, so that the exported tokenizer does the same. None changes nothing.
        """
        if text is None:
            return self
        system = json.dumps([{"role": "system", "content": text}], ensure_ascii=False)
        head = (
            "{%- if not messages or messages[0]['role'] != 'system' %}"
            f"{{%- set messages = {system} + messages %}}"
            "{%- endif %}"
        )
        return replace(self, jinja=head + self.jinja)

    @property
    def marked(self) -> bool:
        """Whether the template marks what the assistant says."""
        return _GENERATION_TAG.search(self.jinja) is not None

    @property
    def exported(self) -> str:
        """The Jinja for other programs, which renders the same there.

        The generation marks become `{% if true %}`. The variables become defaults; special tokens are left to the
        tokenizer.
        """
        settings = "".join(
            f"{{%- set {name} = {name} | default({_literal(value)}) %}}"
            for name, value in self.variables.items()
            if value is not None and not name.endswith("_token")
        )
        if settings and self.jinja.startswith("\n"):  # Jinja trims a line break behind a statement, not an expression
            settings += "{{ '' }}"
        return settings + _GENERATION_TAG.sub(
            lambda tag: f"{{%{tag[1]} {'endif' if tag[2] else 'if true'} {tag[3]}%}}", self.jinja
        )

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        **variables: Any,
    ) -> Rendered:
        """Render a conversation.

        Args:
            messages: the turns, in canonical form. Arguments of tool calls may be a mapping or JSON text.
            tools: JSON schemas of the functions that the assistant may call.
            add_generation_prompt: end with what precedes an answer. Such a text is a prompt: only a template with
                marks gives its spans.
            continue_final_message: end inside the last message, which the assistant began and is to continue.
            variables: for the template, over its own.

        Raises: DataError when the template refuses the conversation, with the template's reason.
        """
        turns = [canonical(message, content_form(self.jinja)) for message in messages]
        rendered = self._guarded(turns, add_generation_prompt, {**variables, "tools": list(tools) if tools else None})
        if not continue_final_message:
            return rendered
        last = len(turns) - 1
        if not rendered.spans or rendered.spans[-1].message != last or add_generation_prompt:
            raise DataError("only a conversation that ends with the assistant, and without prompt, can be continued")
        text = cut_after(rendered.spans[-1], rendered.text, str(content_in(turns[-1]["content"], "text")))
        return Rendered(text, clip(rendered.spans, len(text)), rendered.literal)

    def request(
        self,
        processor: Any,
        conversation: Conversation,
        sampling: Sampling,
        *,
        stop: Sequence[str] = (),
        context_length: int | None = None,
    ) -> Request:
        """What an engine is asked, to answer a conversation.

        Args:
            processor: the model's tokenizer, or what carries it.
            stop: strings that end the answer, beside the template's. Those of one token end it in the engine, the
                others where it is read: give them to `read` too.
            context_length: tokens that the model has positions for; the answer may have what the prompt leaves.

        Raises: DataError when the template refuses the conversation, and for images, sound and video; TunesmithError
            for a conversation that leaves no room for an answer.
        """
        return request_of(self, processor, conversation, sampling, stop, context_length)

    def read(
        self, processor: Any, answers: Sequence[Answer], *, stop: Sequence[str] = (), skip_special_tokens: bool = True
    ) -> Iterator[Piece]:
        """Read answers of an engine as text while they are given, each without the string that ends it.

        Only whole characters come, and nothing that may be the beginning of a stop string. Answers that are not read
        to their end, because the iterator is closed, are cancelled.

        Args:
            answers: the place of an answer is the `index` of its pieces.
            stop: strings that end an answer, beside the template's.
            skip_special_tokens: leave special tokens out of the text.

        Raises: what went wrong in the engine.
        """
        strings = tuple(dict.fromkeys((*self.stop, *stop)))
        return read(answers, reading_of(processor, strings, skip_special_tokens))

    def _guarded(self, turns: list[Message], prompt: bool, given: Mapping[str, Any]) -> Rendered:
        """Render what is not the template's own with a mark in each control token that it spells."""
        try:
            if not spells((turns, given), self.control):
                return self._render(turns, prompt, {**self.variables, **given})
            mark = free_mark((turns, given))
            turns, given = marked((turns, given), mark, self.control)
        except RecursionError as error:
            raise DataError("a conversation is nested too deep to be rendered") from error
        rendered = self._render(turns, prompt, {**self.variables, **given})
        found = Unmarked(rendered.text, mark, self.control)
        spans = (replace(s, start=found.place(s.start), end=found.place(s.end)) for s in rendered.spans)
        return Rendered(found.text, tuple(spans), found.literal)

    def _render(self, turns: list[Message], prompt: bool, variables: Mapping[str, Any]) -> Rendered:
        marks = Marks()
        text = self._fill(turns, prompt, {**variables, _MARKS: marks})
        if marks.forged_in(text):
            marks = marks.absent_from(text)
            text = self._fill(turns, prompt, {**variables, _MARKS: marks})
        text, ranges = marks.read(text)

        def fill(some: Sequence[Message], add_generation_prompt: bool) -> str | None:
            try:
                return self._fill(some, add_generation_prompt, variables)
            except DataError:
                return None

        search = Search(self.name, text, turns, fill, self.stop)
        if self.marked:
            return Rendered(text, assign(ranges, turns, search))
        return Rendered(text, () if prompt else search.spans())

    def _fill(self, turns: Sequence[Message], prompt: bool, variables: Mapping[str, Any]) -> str:
        from jinja2 import TemplateError

        try:
            values = {"documents": None, **variables, "messages": list(turns), "add_generation_prompt": prompt}
            return str(_compile(self.jinja).render(values))
        except (TemplateError, TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
            raise DataError(f"template {self.name} cannot render this conversation: {error}") from error


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


def find_stop(template: ChatTemplate) -> str | None:
    """The string with which a template ends the assistant's turn, such as `<|im_end|>`; None when it writes none."""
    answer = "answer\ufddf"
    try:
        text = template.render([{"role": "user", "content": "question"}, {"role": "assistant", "content": answer}]).text
    except DataError:
        return None
    behind = text.rpartition(answer)[2].strip()
    return behind.splitlines()[0].rstrip() if behind else None


def _turn_marks(template: ChatTemplate, tokenizer: Any) -> Tokens:
    """Tokens of a tokenizer that the template writes around turns, though they are not special there.

    The conversation ends with a question, so that nothing of an answer's own marks, such as `<think>`, is among them.
    """
    others = [token for token in added_tokens(tokenizer) if token not in special_tokens(tokenizer)]
    if not others:
        return ()
    said = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
    try:
        text = template.render(said).text
    except DataError:
        return ()
    return tuple(token for token in others if token in text)


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
            call = self.call_method("_mark", [nodes.Name(_MARKS, "load")])
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _mark(self, marks: Any, caller: Any) -> str:
            return marks.wrap(caller()) if isinstance(marks, Marks) else caller()

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **arguments: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **arguments)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise DataError(f"line {error.lineno} of the chat template is not Jinja: {error}") from error
