"""The chat template that the tokenizer brings along, so that a model is trained as it is asked.

Where that template has no generation marks, the kernel finds the assistant's words by comparing renderings.
"""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import announce, hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import path_like
from tunesmith.types import Problem
from tunesmith_library_chat import ChatTemplate, find_stop, tokenizer_of
from tunesmith_library_chat.chatml import CHATML

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Auto:
    """The tokenizer's own chat template; ChatML where it has none."""

    file: Annotated[str | None, path_like] = None  # Jinja file to take instead of the tokenizer's template
    default_system: str | None = None  # system message of conversations that have none
    enable_thinking: bool | None = None  # for templates that know this switch; null leaves it to the template
    variables: dict[str, Any] = field(default_factory=dict)  # further variables that the template reads

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if self.file is None or Path(self.file).is_file():
            return []
        where = Path(self.file).absolute()
        return [Problem("template.file", f"there is no file {where}", "give a Jinja file, or null for the tokenizer's")]

    @hookimpl
    def chat_template(self, processor: Any) -> ChatTemplate:
        template = self._chosen(processor).with_default_system(self.default_system)
        return template.with_variables(enable_thinking=self.enable_thinking).with_variables(**self.variables)

    def _chosen(self, processor: Any) -> ChatTemplate:
        if self.file is not None:
            announce("template", self.file, "from template.file")
            jinja = Path(self.file).read_text(encoding="utf-8")
            return _ending(ChatTemplate(Path(self.file).stem, jinja, ()), processor)
        own = own_template(processor)
        if own is None:
            announce("template", "chatml", "the tokenizer has no chat template")
            return CHATML
        template = _ending(ChatTemplate("auto", own, ()), processor)
        announce("template", "the tokenizer's own", f"its turns end with {' or '.join(template.stop) or 'nothing'}")
        return template


def own_template(processor: Any) -> str | None:
    """The template of a processor or of its tokenizer.

    Where there are several by name, `default` serves, and `tool_use` conversations with tools.
    """
    tokenizer = tokenizer_of(processor)
    own: str | dict[str, str] | None = getattr(processor, "chat_template", None)
    own = own or getattr(tokenizer, "chat_template", None)
    if not isinstance(own, dict):
        return own or None
    default: str = own.get("default") or next(iter(own.values()))
    with_tools = own.get("tool_use", default)
    if with_tools == default:
        return default
    return f"{{% if tools %}}{with_tools.removesuffix(chr(10))}{{% else %}}{default.removesuffix(chr(10))}{{% endif %}}"


def _ending(template: ChatTemplate, processor: Any) -> ChatTemplate:
    """The template with the string that ends its turns; a tokenizer's end-of-sequence token where it writes none."""
    tokenizer = tokenizer_of(processor)
    stop = find_stop(template.bind(processor))
    if stop is None:
        stop = getattr(tokenizer, "eos_token", None)
        logger.warning(
            "template %s writes nothing at the end of an answer, so that a model trained with it does not learn to "
            "stop; choose another template, such as template=chatml",
            template.name,
        )
    return replace(template, stop=(str(stop),) if stop else ())
