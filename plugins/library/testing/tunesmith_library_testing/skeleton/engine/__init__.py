"""An engine: token by token, one conversation after the other, with transformers' cache."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.types import Conversation, Delta, ModelHandle, Sampling


@plugin
class Placeholder:
    """The shortest engine that streams."""

    max_new_tokens: int = 512  # of an answer
    temperature: float = 0.0  # 0 takes the likeliest token, 1 samples as the model says
    top_k: int = 0  # sample among so many likeliest tokens; 0 is all

    _loaded: ClassVar[tuple[ModelHandle, Any] | None] = None

    @hookimpl
    def generate(
        self, handle: ModelHandle, conversations: Sequence[Conversation], sampling: Sampling
    ) -> Iterator[Delta]:
        if self._loaded is None or self._loaded[0] is not handle:
            self._loaded = (handle, handle.load().eval())
        return self._answers(self._loaded[1], handle, conversations, sampling)

    def _answers(
        self, model: Any, handle: ModelHandle, conversations: Sequence[Conversation], sampling: Sampling
    ) -> Iterator[Delta]:
        from .decoding import Choice, answer

        def chosen(name: str) -> Any:
            given = getattr(sampling, name)
            return getattr(self, name) if given is None else given

        for index, conversation in enumerate(conversations):
            choice = Choice(chosen("max_new_tokens"), chosen("temperature"), chosen("top_k"), sampling.seed)
            prompt = handle.template.render(
                conversation.messages, conversation.tools, add_generation_prompt=True, **conversation.variables
            )
            stop = (*handle.template.stop, *sampling.stop)
            for text, tokens, reason in answer(model, handle.processor, prompt.text, stop, choice):
                yield Delta(index, text, tokens, reason)
