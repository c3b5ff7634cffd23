"""What every chat template keeps to."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate

from tunesmith_library_testing.parts import CHAT, TOOLS, source_of
from tunesmith_library_testing.suites.plugin import PluginSuite


class TemplateSuite(PluginSuite):
    """The tests of a `template` plugin."""

    kind = "template"
    tokenizer_template: ClassVar[str | None] = None  # the Jinja that the tokenizer brings along
    has_tools: ClassVar[bool] = True  # False: tools are refused with a DataError
    has_system: ClassVar[bool] = True  # False: a system message is refused with a DataError
    chat: ClassVar[tuple[dict[str, Any], ...]] = CHAT  # ends with the assistant; no content occurs twice
    variables: ClassVar[dict[str, Any]] = {}  # given to every rendering, e.g. enable_thinking

    def template(self, tokenizer: Any, folder: Path) -> ChatTemplate:
        """What the plugin gives, with the tokenizer's special tokens bound as the pipeline binds them."""
        tokenizer = self.processor(tokenizer)
        given = self.manager().hook.chat_template(processor=tokenizer, source=source_of(folder))
        return given.bind(tokenizer)

    def processor(self, tokenizer: Any) -> Any:
        """The tokenizer that the hook is called with."""
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.chat_template = self.tokenizer_template
        return tokenizer

    def test_gives_a_template(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """A `ChatTemplate` with a name, Jinja, and strings that end a turn."""
        template = self.template(tiny_bpe, tiny_llama)
        assert isinstance(template, ChatTemplate)
        assert template.name and template.jinja
        assert template.stop and all(template.stop), "no string ends the assistant's turn"

    def test_renders_every_message(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """Every content stands in the text, unchanged and in order."""
        text = self.template(tiny_bpe, tiny_llama).render(self.chat, **self.variables).text
        positions = [text.find(message["content"]) for message in self.chat]
        assert -1 not in positions, text
        assert positions == sorted(positions)

    def test_finds_what_the_assistant_says(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """One span per assistant message: its content and the string that ends the turn, and nobody else's words."""
        template = self.template(tiny_bpe, tiny_llama)
        rendered = template.render(self.chat, **self.variables)
        turns = [index for index, message in enumerate(self.chat) if message["role"] == "assistant"]
        assert [span.message for span in rendered.spans] == turns
        for span in rendered.spans:
            said = rendered.text[span.start : span.end]
            assert self.chat[span.message]["content"] in said
            assert said.endswith(template.stop), f"the span {said!r} ends with none of {template.stop}"
            others = [message["content"] for index, message in enumerate(self.chat) if index != span.message]
            assert not [content for content in others if content in said]

    def test_generation_prompt_precedes_the_answer(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """What the model is asked with is the beginning of what it was trained on."""
        template = self.template(tiny_bpe, tiny_llama)
        asked = template.render(self.chat[:-1], add_generation_prompt=True, **self.variables)
        trained = template.render(self.chat, **self.variables)
        assert trained.text.startswith(asked.text), f"{asked.text!r}\nis not how this begins:\n{trained.text!r}"
        assert trained.spans[-1].start <= len(asked.text) <= trained.text.index(self.chat[-1]["content"])

    def test_system_message(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """A system message is rendered, or refused with a reason; it is never dropped."""
        template = self.template(tiny_bpe, tiny_llama)
        chat = ({"role": "system", "content": "Speak like a sailor."}, *self.chat)
        if self.has_system:
            assert "Speak like a sailor." in template.render(chat, **self.variables).text
        else:
            with pytest.raises(DataError):
                template.render(chat, **self.variables)

    def test_tools(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """Tools, a call and its result are rendered, or refused with a reason; they are never dropped."""
        template = self.template(tiny_bpe, tiny_llama)
        function = {"name": "count_waves", "arguments": {"beach": "Rügen"}}
        chat = (
            {"role": "user", "content": "How many waves?"},
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
            {"role": "tool", "name": "count_waves", "content": json.dumps({"waves": 7042})},
            {"role": "assistant", "content": "Many."},
        )
        if not self.has_tools:
            with pytest.raises(DataError):
                template.render(chat, TOOLS, **self.variables)
            return
        rendered = template.render(chat, TOOLS, **self.variables)
        assert "Count the waves on a beach." in rendered.text, "the tool's description is missing"
        assert "7042" in rendered.text, "the tool's result is missing"
        calls = [rendered.text[span.start : span.end] for span in rendered.spans if span.message == 1]
        assert calls and "Rügen" in calls[0], "the call is not part of what the assistant says"

    def test_exported_renders_the_same(self, tiny_bpe: Any, tiny_llama: Path) -> None:
        """transformers, given the exported Jinja, renders the same text: what was trained is what is served."""
        pytest.importorskip("transformers")
        template = self.template(tiny_bpe, tiny_llama)
        served = self.processor(tiny_bpe)
        served.chat_template = template.exported
        variables = {**template.variables, **self.variables}
        for chat, prompt in ((self.chat, False), (self.chat[:-1], True)):
            ours = template.render(chat, add_generation_prompt=prompt, **self.variables).text
            theirs = served.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=prompt, **variables)
            assert theirs == ours
