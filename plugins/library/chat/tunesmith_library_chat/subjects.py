"""What checks of chat templates are given, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunesmith.types import Message

from tunesmith_library_chat.conversations import TALK
from tunesmith_library_chat.facts import TemplateFacts
from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.template import ChatTemplate


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    message: str
    case: str = ""  # of `CASES`
    expected: str = ""  # two texts that should be the same
    found: str = ""

    def __str__(self) -> str:
        where = f"{self.case}: " if self.case else ""
        texts = f"\n--- expected\n{self.expected}⏎\n--- found\n{self.found}⏎" if self.expected or self.found else ""
        return f"{where}{self.message}{texts}"


@dataclass(frozen=True)
class Subject:
    """A template under test."""

    template: ChatTemplate  # bound to the tokenizer
    facts: TemplateFacts  # empty ones, without a name, where the plugin says nothing of itself
    tokenizer: Any
    talk: Sequence[Message] = TALK  # plain turns that end with the assistant; no content occurs twice
    variables: Mapping[str, Any] = field(default_factory=dict)  # given to every rendering
    official: Mapping[str, str] = field(default_factory=dict)  # what the model's own template makes of cases
    tools: bool | None = None  # False: they are refused; None: as the facts say, or without facts the Jinja
    has_system: bool = True  # False: a system message is refused

    @property
    def has_tools(self) -> bool:
        """Whether the template writes tools; else it has to refuse them."""
        if self.tools is not None:
            return self.tools
        return self.facts.calls is not None or (not self.facts.name and "tools" in self.template.jinja)

    def render(self, messages: Sequence[Message], **arguments: Any) -> Rendered:
        """A conversation as a model is trained on it, without a thought."""
        given = {"training": True, **arguments, **self.facts.plain, **self.variables}
        return self.template.render(messages, **given)

    @property
    def whole(self) -> Subject:
        """The same, with spans that begin where prompts end: empty thoughts in them."""
        return replace(self, template=replace(self.template, train_empty_thought=True))


Check = Callable[[Subject], Iterator[Finding]]
