"""Answers conversations with transformers: the model as it is trained, on any device, nothing to install beside.

Batches are padded on the left, so that all prompts end where the answers begin.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.traits import EngineTraits
from tunesmith.types import Conversation, Delta, ModelHandle, Problem, Sampling
from tunesmith_library_chat import tokenizer_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_RANGES: dict[str, tuple[float, float]] = {  # option -> lowest and highest value
    "max_new_tokens": (1, float("inf")),
    "temperature": (0, float("inf")),
    "top_p": (0, 1),
    "top_k": (0, float("inf")),
    "repetition_penalty": (1e-3, float("inf")),
    "batch_size": (1, float("inf")),
}


@plugin
class Transformers:
    """Generates with transformers, in batches, every answer streamed.

    null leaves a value to the model's generation_config.json; where that says nothing, answers are greedy.
    """

    traits: ClassVar[EngineTraits] = EngineTraits(runs_modules=True)

    max_new_tokens: int = 512  # tokens of an answer, at most
    temperature: float | None = None  # 0 is greedy, 1 the model's own probabilities
    top_p: float | None = None  # draw from the likeliest tokens that have this probability together
    top_k: int | None = None  # draw from this many likeliest tokens; 0 is all
    repetition_penalty: float | None = None  # above 1 makes tokens that occurred less likely
    skip_special_tokens: bool = True  # leave special tokens out of the answers
    batch_size: int = 16  # conversations computed together; more are answered in turn

    def __post_init__(self) -> None:
        self._models: dict[int, Any] = {}  # id of a handle -> its model, as long as the handle lives
        self._busy = threading.Lock()  # one generation at a time: seeds and memory are shared

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return [
            Problem(
                f"engine.{name}", f"engine.{name}={getattr(self, name)} is out of range.", f"from {low:g} to {high:g}"
            )
            for name, (low, high) in _RANGES.items()
            if getattr(self, name) is not None and not low <= getattr(self, name) <= high
        ]

    @hookimpl
    def generate(
        self, handle: ModelHandle, conversations: Sequence[Conversation], sampling: Sampling
    ) -> Iterator[Delta]:
        """Answer conversations, the ones of a batch together.

        Raises: TunesmithError when a conversation holds more than text, or is longer than the model's context.
        """
        from .answer import Answer
        from .settings import context_length, ending_of, generation_config
        from .streaming import generate_batch, seeded, stream

        wanted = self._wanted(sampling)
        tokenizer = tokenizer_of(handle.processor)
        prompts = [_prompt(conversation, handle, tokenizer) for conversation in conversations]
        if not prompts:
            return iter(())
        model = self._model(handle)
        ending = ending_of(handle.template, tokenizer, model, sampling.stop, self.skip_special_tokens)
        limits = _limits(prompts, wanted.max_new_tokens or self.max_new_tokens, context_length(model))

        def run(emit: Any, cancelled: threading.Event) -> None:
            with self._busy, seeded(sampling.seed, model.device):
                for start in range(0, len(prompts), self.batch_size):
                    chosen = range(start, min(start + self.batch_size, len(prompts)))
                    answers = [Answer(index, limits[index], ending) for index in chosen]
                    config = generation_config(model, wanted, max(limits[index] for index in chosen), ending)
                    generate_batch(model, [prompts[index] for index in chosen], answers, config, emit, cancelled)
                    if cancelled.is_set():
                        return

        return stream(run)

    def _wanted(self, sampling: Sampling) -> Sampling:
        """What was asked, and where nothing was asked the options.

        Raises: TunesmithError when a value is out of range.
        """
        names = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
        asked = {name: getattr(sampling, name) for name in names}
        for name, value in asked.items():
            low, high = _RANGES[name]
            if value is not None and not low <= value <= high:
                raise TunesmithError(f"{name}={value} is out of range: from {low:g} to {high:g}")
        return replace(sampling, **{n: getattr(self, n) if value is None else value for n, value in asked.items()})

    def _model(self, handle: ModelHandle) -> Any:
        """The handle's model, loaded at the first call and kept as long as the handle lives."""
        with self._busy:
            if id(handle) not in self._models:
                self._models[id(handle)] = _refuse_classifier(handle.load(), handle).eval()
                weakref.finalize(handle, self._models.pop, id(handle), None)
            return self._models[id(handle)]


def _refuse_classifier(model: Any, handle: ModelHandle) -> Any:
    """Raises: TunesmithError for the weights of a reward model, to which a language model's output layer is wanting."""
    if any(str(name).endswith("ForSequenceClassification") for name in model.config.architectures or ()):
        raise TunesmithError(
            f"{handle.source.address} is a {model.config.architectures[0]}: it gives texts a score and cannot answer.\n"
            f"  train with it: stage=ppo reward.model.path={handle.source.address}"
        )
    return model


def _prompt(conversation: Conversation, handle: ModelHandle, tokenizer: Any) -> list[int]:
    """Render a conversation up to where the answer begins, as token ids."""
    for message in conversation.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        other = {part.get("type") for part in parts if isinstance(part, Mapping)} - {"text"}
        if other:
            raise TunesmithError(f"engine=transformers answers text, not {', '.join(sorted(map(str, other)))}")
    rendered = handle.template.render(
        conversation.messages, conversation.tools, add_generation_prompt=True, **conversation.variables
    )
    ids: list[int] = tokenizer.encode(rendered.text, add_special_tokens=False)
    if not ids:
        raise TunesmithError(f"template {handle.template.name} renders this conversation to no text at all")
    return ids


def _limits(prompts: Sequence[list[int]], asked: int, context: int | None) -> list[int]:
    """How many tokens each answer may have: what was asked, or what the context has room for."""
    if context is None:
        return [asked] * len(prompts)
    for index, prompt in enumerate(prompts):
        if len(prompt) >= context:
            raise TunesmithError(
                f"conversation {index} has {len(prompt)} tokens; the model's context ends at {context}.\n"
                "  shorten it, or start a new one"
            )
    return [min(asked, context - len(prompt)) for prompt in prompts]
