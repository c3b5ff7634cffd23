"""What makes a tiny model that sees or hears one of its family: facts, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message.role + '\n' + content(message) + '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""The turns of a chat template; `content(message)` is the message with the marks of what it shows."""


@dataclass(frozen=True)
class SeeingFamily:
    """What makes a tiny model of a family.

    Values of `config`, `processor` and `parts` that begin with `@` are tokens, and become their ids.
    """

    model_class: str  # transformers' class
    model_type: str  # its configuration's
    processor_class: str
    config: dict[str, Any]  # of the model; `text_config` is completed by what all tiny models share
    marks: dict[str, str]  # what stands for an item in the text, by medium: image, video, audio
    tokens: tuple[str, ...]  # special tokens beside those of `tiny_tokenizer`
    parts: dict[str, dict[str, Any]]  # image_processor, video_processor, feature_extractor, by the names of their files
    processor: dict[str, Any] = field(default_factory=dict)  # further arguments of the processor
    named_tokens: dict[str, str] = field(default_factory=dict)  # attributes of the tokenizer: image_token, …
    words: tuple[str, ...] = ()  # added tokens that are no special ones
    turns: str = CHATML

    @property
    def media(self) -> tuple[str, ...]:
        """Which media it takes: image, video, audio."""
        return tuple(self.marks)


def square(edge: int) -> dict[str, int]:
    """The size of pictures as wide as high, in pixels."""
    return {"height": edge, "width": edge}
