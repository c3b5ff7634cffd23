"""The chat template that the tokenizer brings along, so that a model is trained as it is asked.

Where an installed template of that model writes the same, it is taken: it marks what the assistant says, and knows how
calls and thoughts are read. Else the assistant's words are found by comparing renderings. A tokenizer without template
gets the installed one of its model, as a registry of models or the templates themselves say, and ChatML where nobody
knows the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import announce, hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import path_like
from tunesmith.types import ModelSource, Problem
from tunesmith_library_chat import ChatTemplate, find_stop, own_template, tokenizer_of
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_chat.detection import Detected, detect, read_facts, same_format
from tunesmith_library_chat.thoughts import announce_empty_thoughts
from tunesmith_library_configuration.models import model_with_id

from .open_thoughts import open_thought, with_open_thought

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Auto:
    """The tokenizer's own chat template; where it has none, that of the model's name or type, else ChatML."""

    file: Annotated[str | None, path_like] = None  # Jinja file to take instead of the tokenizer's template
    default_system: str | None = None  # system message of conversations that have none
    enable_thinking: bool | None = None  # for templates that know this switch; null leaves it to the template
    variables: dict[str, Any] = field(default_factory=dict)  # further variables that the template reads
    train_empty_thought: bool = False  # train the empty thought of an answer without one: a model may unlearn to think
    _plan: Any = None  # by which installed templates are found

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if self.file is None or Path(self.file).is_file():
            return []
        where = Path(self.file).absolute()
        return [Problem("template.file", f"there is no file {where}", "give a Jinja file, or null for the tokenizer's")]

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._plan = plan

    @hookimpl
    def chat_template(self, processor: Any, source: ModelSource) -> ChatTemplate:
        chosen, is_of_family = self._chosen(processor, source)
        template = chosen.with_default_system(self.default_system)
        template = template.with_variables(
            **template.switched({"enable_thinking": self.enable_thinking, **self.variables})
        )
        if not is_of_family:
            template = _answering_in_thought(template, processor)
        if source.training and template.thinking:
            announce_empty_thoughts(self.train_empty_thought)
        return replace(template, train_empty_thought=self.train_empty_thought)

    def _chosen(self, processor: Any, source: ModelSource) -> tuple[ChatTemplate, bool]:
        """A template, and whether it is an installed one, which writes itself what is trained."""
        if self.file is not None:
            announce("template", self.file, "from template.file")
            jinja = Path(self.file).read_text(encoding="utf-8")
            return _ending(read_facts(ChatTemplate(Path(self.file).stem, jinja, ())), processor), False
        own, known = own_template(processor), self._known(processor, source)
        if own is None:
            if known is None:
                announce("template", "chatml", "the tokenizer has no chat template" + _not_installed(source.address))
                return CHATML, True
            found, template = known
            announce("template", found.name, f"{found.why}; the tokenizer has no chat template")
            return template, True
        template = ChatTemplate("auto", own, ())
        if known and same_format(known[1].bind(processor), template.bind(processor)):
            announce("template", known[0].name, f"{known[0].why}; it writes what the tokenizer's own does")
            return known[1], True
        template = _ending(read_facts(template), processor)
        announce("template", "the tokenizer's own", f"its turns end with {' or '.join(template.stop) or 'nothing'}")
        return template, False

    def _known(self, processor: Any, source: ModelSource) -> tuple[Detected, ChatTemplate] | None:
        """The installed template that says it is this model's."""
        installed = self._plan.installed("template") if self._plan else {}
        config = _config(source)
        found = _registered(installed, source.address) or detect(
            installed, (source.address, str(config.get("_name_or_path") or "")), config.get("model_type")
        )
        return (found, found.template(processor, source)) if found else None


def _registered(installed: Mapping[str, type], address: str) -> Detected | None:
    """The installed template that a registry of models names for this one."""
    model = model_with_id(address)
    if model is None or model.template is None or model.template not in installed:
        return None
    return Detected(model.template, installed[model.template], f"as {model.file.name} says of {model.name}")


def _not_installed(address: str) -> str:
    """What an announcement adds where a registry names a template and none was found."""
    model = model_with_id(address)
    if model is None or model.template is None:
        return ""
    return f", and template={model.template}, which {model.file} names, is not installed"


def _config(source: ModelSource) -> dict[str, Any]:
    """The model's config.json; {} where it has none."""
    try:
        found: dict[str, Any] = json.loads((source.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _answering_in_thought(template: ChatTemplate, processor: Any) -> ChatTemplate:
    """The template with thoughts in its answers, where its prompts open them and it would cut them out."""
    thought = open_thought(template.bind(processor))
    if thought is None:
        return template
    announce("template", f"its prompts open {thought.open}", "so the last answer is trained with its thought behind it")
    return with_open_thought(template, thought)


def _ending(template: ChatTemplate, processor: Any) -> ChatTemplate:
    """The template with the string that ends its turns; a tokenizer's end-of-sequence token where it writes none."""
    tokenizer = tokenizer_of(processor)
    bound = template.bind(processor)
    stop = find_stop(bound.jinja, bound.variables)
    if stop is None:
        stop = getattr(tokenizer, "eos_token", None)
        logger.warning(
            "template %s writes nothing at the end of an answer, so that a model trained with it does not learn to "
            "stop; choose another template, such as template=chatml",
            template.name,
        )
    return replace(template, stop=(str(stop),) if stop else ())
