"""Which of the installed templates a model was trained with, by what they say of themselves, and what a template that
is known by its Jinja alone says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pluggy
from tunesmith import hookspecs
from tunesmith.errors import DataError
from tunesmith.traits import TemplateTraits, traits_of
from tunesmith.types import ModelSource

from tunesmith_library_chat import calls
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.messages import content_form
from tunesmith_library_chat.template import ChatTemplate
from tunesmith_library_chat.thoughts import Thinking


@dataclass(frozen=True)
class Detected:
    """A template that was chosen by what is known of the model."""

    name: str
    plugin: type
    why: str  # as it is announced: by the model's name …

    def template(self, processor: Any, source: ModelSource) -> ChatTemplate:
        """What the plugin gives with its default options."""
        manager = pluggy.PluginManager("tunesmith")
        manager.add_hookspecs(hookspecs)
        manager.register(self.plugin())
        made: ChatTemplate = manager.hook.chat_template(processor=processor, source=source)
        return made


def detect(installed: Mapping[str, type], names: Iterable[str], model_type: str | None) -> Detected | None:
    """The installed template of a model: by its name, where the longest match wins, else by its type.

    Args:
        installed: the classes of template plugins by name.
        names: of the model: addresses, folders; the last part of each counts.
        model_type: transformers' `model_type`.

    Returns: None where no template says that it is this model's, or several of a type do.
    """
    known = {plugin: traits_of("template", plugin) for plugin in installed.values()}
    for name, spelled in _spelled(re.split(r"[/\\]", name.rstrip("/\\"))[-1] for name in names if name):
        matches = [
            (match.end() - match.start(), len(pattern), plugin)
            for plugin, traits in known.items()
            for pattern in traits.models
            if (match := re.search(_whole(pattern), spelled, re.IGNORECASE))
        ]
        if matches:
            plugin = max(matches, key=lambda found: found[:2])[2]
            return Detected(_name_of(plugin, known[plugin], installed), plugin, f"by the model's name, {name}")
    typed = [plugin for plugin, traits in known.items() if model_type in traits.model_types]
    if len(typed) != 1:
        return None
    return Detected(_name_of(typed[0], known[typed[0]], installed), typed[0], f"by the model's type, {model_type}")


def _whole(pattern: str) -> str:
    """A pattern that takes words and numbers whole: `olmo-7b` is not in Molmo-7B but in OpenOLMo-7B, whose capital
    begins a word, and `phi-3` is not in phi-34b."""
    return rf"(?:(?<![a-z\d])|(?-i:(?<=[a-z])(?=[A-Z])))(?:{pattern})(?!(?<=\d)\d)"


def _spelled(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names as they are, then each as publishers spell what users write otherwise.

    `my_gemma2_2b` is a Gemma-2, `qwen-3-4b` a Qwen3, `llama-3_1-8b` a Llama-3.1.
    """
    given = list(dict.fromkeys(names))
    yield from ((name, name) for name in given)
    for name in given:
        plain = re.sub(r"(?<=\d)_(?=\d(?![\d.]*[bm]))", ".", name).replace("_", "-")
        apart = re.sub(r"(?<=[a-z])(?=\d)", "-", plain, flags=re.IGNORECASE)
        joined = re.sub(r"(?<=[a-z])-(?=\d+(?:\.\d+)?-)", "", plain, flags=re.IGNORECASE)
        yield from ((name, spelled) for spelled in dict.fromkeys((plain, apart, joined)))


def _name_of(plugin: type, traits: TemplateTraits, installed: Mapping[str, type]) -> str:
    return traits.name or next(name for name, cls in installed.items() if cls is plugin)


_CLOSE = re.compile(r"</[^<>\s'\"{}]*(?:think|thought|reason)[^<>\s'\"{}]*>|\[/(?:THINK|THOUGHT)\]")
_CALL = {"type": "function", "id": "abc123def", "function": {"name": "add", "arguments": {"a": 1, "b": "ü"}}}
_TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Sum", "parameters": {"type": "object", "properties": {}}},
}
_TALK: Sequence[dict[str, object]] = (
    {"role": "user", "content": " One?\n"},
    {"role": "assistant", "content": "Two. "},
    {"role": "user", "content": "Three?"},
)
_PROBES: Sequence[tuple[Sequence[dict[str, object]], bool]] = (
    (_TALK, False),
    (({"role": "system", "content": "Be brief."}, *_TALK), False),
    ((*_TALK, {"role": "assistant", "content": "Four.", "reasoning": "Count."}), False),
    (
        (
            _TALK[0],
            {"role": "assistant", "content": "", "tool_calls": [_CALL]},
            {"role": "tool", "name": "add", "tool_call_id": "abc123def", "content": "3"},
        ),
        True,
    ),
)


def same_format(one: ChatTemplate, other: ChatTemplate) -> bool:
    """Whether two templates write the same: plain, with a system message, thoughts and tools, or both refuse."""
    if content_form(one.jinja) != content_form(other.jinja):
        return False
    return all(_probed(one, *probe) == _probed(other, *probe) for probe in _PROBES)


def _probed(template: ChatTemplate, messages: Sequence[dict[str, object]], tools: bool) -> list[str] | None:
    last = messages[-1]["role"] != "assistant"
    try:
        return [
            template.render(
                [dict(item) for item in messages], [_TOOL] if tools else None, add_generation_prompt=prompt
            ).text
            for prompt in ((False, True) if last else (False,))
        ]
    except DataError:
        return None


def read_facts(template: ChatTemplate) -> ChatTemplate:
    """The template with its format of calls and thoughts, as far as the marks in its Jinja tell them."""
    return replace(template, calls=format_in(template.jinja), thinking=thinking_in(template.jinja))


def format_in(jinja: str) -> CallFormat | None:
    """The format of calls all of whose marks stand in a template; of several the one with the most."""
    if "tool_calls" not in jinja:
        return None
    formats = [value for value in vars(calls).values() if isinstance(value, CallFormat) and value.open]
    found = [item for item in formats if all(mark.strip() in jinja for mark in item.marks)]
    return max(found, key=lambda item: len(item.marks), default=None)


def thinking_in(jinja: str) -> Thinking | None:
    """How a template thinks that writes `</think>`, or another mark at the end of a thought."""
    close = "</think>" if "</think>" in jinja else next((mark for mark in _CLOSE.findall(jinja)), None)
    if close is None:
        return None
    switches = (name for name in ("enable_thinking", "thinking") if re.search(rf"\b{name}\b(?!\s*[=>])", jinja))
    return Thinking(close.replace("/", "", 1), close, next(switches, None))
