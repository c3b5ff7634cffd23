"""What the templates of model families are made of: facts on the class, Jinja in a file, options declared once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import announce, hookimpl

from tunesmith_library_chat.facts import TemplateFacts
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import Thinking, announce_empty_thoughts
from tunesmith_library_chat.tokenizers import tokenizer_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_OWN = frozenset({"default_system", "train_empty_thought"})  # options that are no variables of the Jinja


@dataclass(eq=False, kw_only=True)
class FamilyTemplate:
    """A template that is facts and Jinja.

    The options of a subclass are variables of its Jinja, under their own names; null leaves one to the template.
    """

    traits: ClassVar[TemplateFacts]

    default_system: str | None = None  # system message of conversations that have none; null is the template's own

    @hookimpl
    def configured(self, plan: Plan) -> None:
        name = plan.name("template") or self.traits.name
        if name in self.traits.aliases:
            note = self.traits.aliases[name]
            announce("template", self.traits.name, f"{name} is another name of it" + (f"; {note}" if note else ""))

    @hookimpl
    def chat_template(self, processor: Any) -> ChatTemplate:
        facts = self.traits
        template = ChatTemplate(
            facts.name,
            _jinja_of(type(self)),
            facts.stop or (str(tokenizer_of(processor).eos_token),),
            calls=facts.calls,
            thinking=facts.thinking or Thinking(),
        )
        template = template.with_variables(**facts.variables)
        template = template if facts.thinking else template.with_written_thoughts()
        template = template.with_variables(**template.switched(self._variables()))
        return template.with_default_system(self.default_system)

    def _variables(self) -> dict[str, Any]:
        names = (item.name for item in dataclasses.fields(self))
        return {name: getattr(self, name) for name in names if name not in _OWN and not name.startswith("_")}


@dataclass(eq=False, kw_only=True)
class ThinkingTemplate(FamilyTemplate):
    """A template with a form for thoughts."""

    train_empty_thought: bool = False  # train the empty thought of an answer without one: a model may unlearn to think

    @hookimpl
    def configured(self, plan: Plan) -> None:
        super().configured(plan)
        if plan.command == "train":
            announce_empty_thoughts(self.train_empty_thought)

    @hookimpl
    def chat_template(self, processor: Any) -> ChatTemplate:
        template = super().chat_template(processor)
        return dataclasses.replace(template, train_empty_thought=self.train_empty_thought)


@dataclass(eq=False, kw_only=True)
class SwitchedTemplate(ThinkingTemplate):
    """A template whose thoughts can be switched off; a row may say otherwise for itself."""

    enable_thinking: bool | None = None  # whether the model thinks; null leaves it to the template


def _jinja_of(cls: type) -> str:
    """The Jinja of the class that declares the facts: a file beside it, or one that families share, of this library."""
    owner = next(base for base in cls.__mro__ if "traits" in vars(base))
    packages = (resources.files(owner.__module__.partition(".")[0]), resources.files("tunesmith_library_chat"))
    files = [package.joinpath(owner.traits.file) for package in packages]  # type: ignore[attr-defined]
    return next((file for file in files if file.is_file()), files[0]).read_text(encoding="utf-8")
