"""What a chat template is, beside its Jinja: data on a plugin's class, from which options, detection, reading of
answers, tables and checks come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.traits import TemplateTraits

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.thoughts import Thinking

_OF_BASES = r"base|pt|hf|pretrain|python|intermediate|v?\d+k|awq|gptq|gguf|mlx|bnb|exl2|(?:int|fp)?\d+(?:bit)?"


def tuned(family: str, size: str = r"\d[\d.]*[bm]") -> str:
    """A pattern for models that users made of a family, whose base models and chat models are told apart by a word:
    its name, a size, and a word that no publisher of a base model has: `yi-6b-finance`, not `Yi-6B-200K`."""
    return rf"{family}[-_]?{size}[-_](?!(?:{_OF_BASES})(?:$|[-_.]))"


@dataclass(frozen=True)
class TemplateFacts(TemplateTraits):
    """One chat template of a family.

    `name`, `models` and `model_types`, by which it is chosen, are the kernel's.
    """

    file: str = ""  # the Jinja, a file in the package of the class, or turns.jinja of this library
    stop: tuple[str, ...] = ()  # strings that end the assistant's turn; none: the tokenizer's end of sequence
    default_system: str | None = None  # what the Jinja writes where a conversation has no system message
    calls: CallFormat | None = None  # in what form it writes the calls of tools; None: it knows no tools
    thinking: Thinking | None = None  # None: it has no form for thoughts
    media: Mapping[str, str] = field(default_factory=dict)  # what stands for an `image`, `video` or `audio`
    variables: Mapping[str, Any] = field(default_factory=dict)  # that the Jinja is rendered with, always
    # with which an answer that holds no thought is asked for, where the model thinks unless it is told not to
    plain: Mapping[str, Any] = field(default_factory=dict)
    system: bool = True  # whether it has a place for a system message; else one is refused
    # why earlier turns are rendered otherwise once the conversation goes on; "": they never are
    rewrites: str = ""
    # further names, former ones above all, and what to say to whoever uses one
    aliases: Mapping[str, str] = field(default_factory=dict)
    source: str = ""  # where the official format is published
