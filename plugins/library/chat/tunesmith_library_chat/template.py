"""Chat templates: conversations to text, with the spans that the assistant says. One source of truth for training,
inference and the exported tokenizer.

A template is Jinja as transformers, vLLM and TRL read it. `{% generation %} … {% endgeneration %}` marks what the
assistant says, its end-of-turn string included; templates without marks are searched for it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Literal

from tunesmith.errors import DataError
from tunesmith.types import Answer, Conversation, Message, Piece, Request, Sampling

from tunesmith_library_chat import answer_grammars
from tunesmith_library_chat.answers import AnswerReader, message_of
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.declarations import declared
from tunesmith_library_chat.framing import frame_of
from tunesmith_library_chat.messages import canonical, content_form, content_in
from tunesmith_library_chat.reading import read, reading_of
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.requests import request_of
from tunesmith_library_chat.roles import Write, refuse_left_out, write_whole
from tunesmith_library_chat.samples import RENDERING_FAULTS
from tunesmith_library_chat.sources import GENERATION_TAG, exported_source
from tunesmith_library_chat.spans import Search, assign, clip, cut_after
from tunesmith_library_chat.spelling import NOTHING, Control, Unmarked, free_mark, marked, spells
from tunesmith_library_chat.thoughts import (
    Thinking,
    as_asked,
    as_learnt,
    behind_empty_thoughts,
    heeds_switch,
    with_written_thoughts,
)
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import special_tokens, turn_marks


@dataclass(frozen=True)
class ChatTemplate:
    """How a conversation becomes text."""

    name: str
    jinja: str
    stop: tuple[str, ...]  # strings that end the assistant's turn
    variables: Mapping[str, Any] = field(default_factory=dict)  # for the template: bos_token, enable_thinking, …
    # whether a control token that a conversation spells is text, or that token
    special_tokens: Literal["text", "parse"] = "text"
    # what a conversation may not forge: special tokens, and what else marks turns; see `bind`
    control: Control = NOTHING
    calls: CallFormat | None = None  # how it writes calls of tools, to tell them from text; None: not known
    thinking: Thinking | None = None  # how it writes thoughts; None: not known
    train_empty_thought: bool = True  # whether the empty thought of an answer without one is trained

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
        bound = replace(self, variables={**tokens, **self.variables}, control=NOTHING)
        if self.special_tokens == "parse":
            return bound
        return replace(bound, control=Control({*special_tokens(tokenizer), *turn_marks(bound, tokenizer)}))

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

    def with_written_thoughts(self) -> ChatTemplate:
        """The same template, which writes thoughts in `<think>` blocks before the content, for it has no form for them.

        It is part of the Jinja too. One that leaves them out goes on to do so, but for the thought that is trained.
        """
        return replace(self, jinja=with_written_thoughts(self.jinja, self.variables))

    @property
    def marked(self) -> bool:
        """Whether the template marks what the assistant says."""
        return GENERATION_TAG.search(self.jinja) is not None

    @property
    def switches_thinking(self) -> bool:
        """Whether `enable_thinking` means something to the template."""
        return bool(self.thinking and self.thinking.switch) or heeds_switch(self.jinja, self.variables)

    @property
    def exported(self) -> str:
        """The Jinja for other programs, which renders the same there.

        The generation marks become `{% if true %}`. The variables become defaults; special tokens are left to the
        tokenizer.
        """
        return exported_source(self.jinja, self.variables)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        training: bool = False,
        **variables: Any,
    ) -> Rendered:
        """Render a conversation.

        Args:
            messages: the turns, in canonical form. Arguments of tool calls may be a mapping or JSON text.
            tools: JSON schemas of the functions that the assistant may call.
            add_generation_prompt: end with what precedes an answer. Such a text is a prompt: only a template with
                marks gives its spans.
            continue_final_message: end inside the last message, which the assistant began and is to continue.
            training: write the last answer as a model learns it: behind the prompt that asks for it, and with an end
                to stop at, where the family's own format lacks them. The Jinja sees it as the variable `training`.
                A thought is in the family's form, or absent where variables say not to think. No message is left out.
            variables: for the template, over its own.

        Raises: DataError when the template refuses the conversation, with its reason; see `roles`.
        """
        turns = [canonical(message, content_form(self.jinja)) for message in messages]
        given = {**self.switched(variables), "tools": list(tools) if tools else None}
        if training and self.thinking:
            turns = list(as_learnt(turns, self.thinking, self.jinja, {**self.variables, **given}))
        if training or continue_final_message:
            given["training"] = True
        write = functools.partial(self._guarded, prompt=add_generation_prompt, given=given)
        rendered = write_whole(self.name, self.jinja, turns, write, training=training, tools=given["tools"])
        if self.thinking and not self.train_empty_thought:
            rendered = replace(rendered, spans=behind_empty_thoughts(rendered.text, rendered.spans, self.thinking))
        if not continue_final_message:
            return rendered
        if not rendered.spans or rendered.spans[-1].message != len(turns) - 1 or add_generation_prompt:
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
        variables = {**self.variables, **self.switched(conversation.variables)}
        messages = as_asked(conversation.messages, self.thinking, self.jinja, variables)
        conversation = replace(conversation, messages=messages)
        refuse_left_out(self.name, self.jinja, messages, self._asked(conversation))
        sampling = answer_grammars.with_lead(self, processor, conversation, sampling)
        return request_of(self, processor, conversation, sampling, stop, context_length, self.control)

    def tool_grammar(
        self,
        processor: Any,
        conversation: Conversation,
        choice: str = "required",
        parallel: bool = True,
        said: str | None = None,
    ) -> str | None:
        """The grammar of an answer that calls tools rightly; see `answer_grammars.of_calls`."""
        return answer_grammars.of_calls(self, processor, conversation, choice, parallel, said)

    def read(
        self,
        processor: Any,
        answers: Sequence[Answer],
        *,
        stop: Sequence[str] = (),
        skip_special_tokens: bool = True,
        conversation: Conversation | Sequence[Conversation] | None = None,
    ) -> Iterator[Piece]:
        """Read answers of an engine as text while they are given, each without the string that ends it.

        Only whole characters come, and nothing that may be the beginning of a stop string. Answers that are not read
        to their end, because the iterator is closed, are cancelled.

        Args:
            answers: the place of an answer is the `index` of its pieces.
            stop: strings that end an answer, beside the template's.
            skip_special_tokens: leave special tokens out of the text.
            conversation: what these, or each of them, are answers to: thoughts and calls of tools are told from text.
                None: all is text.

        Raises: what went wrong in the engine.
        """
        strings = tuple(dict.fromkeys((*self.stop, *stop)))
        asked = conversation if isinstance(conversation, Sequence) else [conversation]
        splits = [functools.partial(self.reader, each) if each else None for each in asked]
        readings = [reading_of(processor, strings, skip_special_tokens, split) for split in splits]
        return read(answers, readings if asked is conversation else readings * len(answers))

    def reader(self, conversation: Conversation) -> AnswerReader:
        """What takes the text of an answer to a conversation apart, while it arrives: thoughts, text, calls."""
        prompt = self._asked(conversation)(conversation.messages).text
        begun = bool(self.thinking and self.thinking.begun(prompt))
        variables = {**self.variables, **self.switched(conversation.variables)}
        frame = frame_of(self.jinja, variables, self.thinking, self.stop)
        return AnswerReader(self.calls, self.thinking, declared(conversation.tools), thought=begun, frame=frame)

    def parse(self, text: str, conversation: Conversation) -> Message:
        """A whole answer to a conversation as a message: `content`, `reasoning`, `tool_calls`."""
        reader = self.reader(conversation)
        return message_of(reader.push(text) + reader.finish())

    def _asked(self, conversation: Conversation) -> Write:
        """What writes messages as a prompt, as a conversation is."""
        how = {"tools": conversation.tools, "add_generation_prompt": True, **conversation.variables}
        return functools.partial(self.render, **how)

    def switched(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Variables that are given, `enable_thinking` under the template's own name for it."""
        given = dict(variables)
        if self.thinking and self.thinking.switch and "enable_thinking" in given:
            given[self.thinking.switch] = given.pop("enable_thinking")
        return {name: value for name, value in given.items() if value is not None}

    def _guarded(self, turns: Sequence[Message], prompt: bool, given: Mapping[str, Any]) -> Rendered:
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

    def _render(self, turns: Sequence[Message], prompt: bool, variables: Mapping[str, Any]) -> Rendered:
        text, ranges = self._fill(turns, prompt, variables, marks=True)

        def fill(some: Sequence[Message], add_generation_prompt: bool) -> str | None:
            try:
                return self._fill(some, add_generation_prompt, variables)[0]
            except DataError:
                return None

        search = Search(self.name, text, turns, fill, self.stop)
        if self.marked:
            return Rendered(text, assign(ranges, turns, search))
        return Rendered(text, () if prompt else search.spans())

    def _fill(
        self, turns: Sequence[Message], prompt: bool, variables: Mapping[str, Any], *, marks: bool = False
    ) -> tuple[str, list[tuple[int, int]]]:
        """The text, and with `marks` the ranges of it that are marked. Raises: DataError."""
        from jinja2 import TemplateError

        from tunesmith_library_chat.repeating import render

        try:
            values = {"documents": None, **variables, "add_generation_prompt": prompt}
            return render(self.jinja, turns, values, marks=marks)
        except (TemplateError, *RENDERING_FAULTS) as error:
            raise DataError(f"template {self.name} cannot render this conversation: {error}") from error
