"""The formats that Meta's Llama models were trained on, as their model cards publish them.

Llama 2 and 3.0 know no tools; 3.1 and later describe them in the first user turn and answer one call per turn.
Thoughts, which Meta's formats do not have, are written in `<think>` blocks where a message holds them.
"""

from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate, tokenizer_of


@plugin
class Llama2:
    """Llama 2: `[INST] … [/INST]`, the system message inside the first user turn, no tools."""

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self, processor: Any) -> ChatTemplate:
        eos_token = tokenizer_of(processor).eos_token
        template = ChatTemplate.packaged(__name__, "llama2.jinja", "llama2", eos_token)
        return template.with_default_system(self.default_system)


@plugin
class Llama3:
    """Llama 3.0: header and `<|eot_id|>`, no tools."""

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "llama3.jinja", "llama3", "<|eot_id|>")
        return template.with_default_system(self.default_system)


@plugin
class Llama31:
    """Llama 3.1: the format of 3.0 with tools, and a system turn with dates in every conversation."""

    date_string: str | None = "26 Jul 2024"  # today's date as the system turn gives it; null is the day of the run
    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "llama3_1.jinja", "llama3_1", "<|eot_id|>")
        return template.with_variables(date_string=self.date_string).with_default_system(self.default_system)


@plugin
class Llama32(Llama31):
    """Llama 3.2: the format of 3.1 with the current date."""

    date_string: str | None = None  # today's date as the system turn gives it; null is the day of the run


@plugin
class Llama33(Llama31):
    """Llama 3.3: the format of 3.1."""


@plugin
class Llama4:
    """Llama 4, text: header and `<|eot|>`, with tools."""

    default_system: str | None = None  # system message of conversations that have none

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        template = ChatTemplate.packaged(__name__, "llama4.jinja", "llama4", "<|eot|>")
        return template.with_default_system(self.default_system)
