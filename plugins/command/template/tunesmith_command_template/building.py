"""A template by its name, ready to be shown and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy
import yaml
from tunesmith import TunesmithError, hookspecs
from tunesmith.catalog import Catalog
from tunesmith.planning import refuse
from tunesmith.types import ModelSource
from tunesmith.validate import instance, structured
from tunesmith_library_chat import ChatTemplate, TemplateFacts, own_template, tokenizer_of
from tunesmith_library_chat.conformance import whole_renderings
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer, special_tokens_in
from tunesmith_library_chat.subjects import Subject


def subject_of(name: str, options: Sequence[str], folder: Path | None) -> Subject:
    """A template under test.

    Args:
        name: of an installed template, or `file.py:Class`.
        options: of the template, `enable_thinking=false`.
        folder: of a tokenizer; None for one of bytes, with the special tokens that the Jinja shows.

    Raises: TunesmithError for a template that is not there, options that it does not have, a folder without tokenizer.
    """
    catalog = Catalog.discover()
    plugin = catalog.load(catalog.find("template", name))
    node, problems = structured(plugin, _read(options), ("template",), plugin.__name__)
    refuse(problems, {})
    made = instance(plugin, node)
    processor = _tokenizer(made, folder)
    facts = getattr(plugin, "traits", None)
    facts = facts if isinstance(facts, TemplateFacts) else TemplateFacts()
    subject = Subject(
        template=_template(made, processor, folder).bind(processor),
        facts=facts,
        tokenizer=tokenizer_of(processor),
        has_system=facts.system,
    )
    return replace(subject, official=_official(processor, subject.template)) if folder else subject


def _read(options: Sequence[str]) -> dict[str, Any]:
    found = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise TunesmithError(
                f"{option} is no option of a template.\nwrite OPTION=VALUE, such as enable_thinking=false"
            )
        found[name] = yaml.safe_load(value)
    return found


def _template(made: Any, processor: Any, folder: Path | None) -> ChatTemplate:
    manager = pluggy.PluginManager("tunesmith")
    manager.add_hookspecs(hookspecs)
    manager.register(made)
    place = folder or Path()
    source = ModelSource(place, str(place), "fp32", 0, False)
    template: ChatTemplate = manager.hook.chat_template(processor=processor, source=source)
    return template


def _tokenizer(made: Any, folder: Path | None) -> Any:
    if folder is not None:
        from tunesmith_library_loading.processors import load_processor

        return load_processor(folder, trust_remote_code=False)
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    template = _template(made, PlainTokenizer(**tokens), folder)
    return PlainTokenizer(special_tokens_in(template.jinja, *template.stop), **tokens)


def _official(processor: Any, template: ChatTemplate) -> dict[str, str]:
    """What the tokenizer's own template writes of the cases that it takes whole."""
    own = own_template(processor)
    if own is None:
        return {}
    reference = ChatTemplate("the tokenizer's own", own, template.stop, thinking=template.thinking)
    return whole_renderings(reference.bind(processor))
