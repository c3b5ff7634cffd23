"""Thoughts of answers: whether one never ended, and how one is closed that has used up its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tunesmith.errors import TunesmithError
from tunesmith.messages import logger
from tunesmith.types import Answer, Conversation, Delta, Request

from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine import StreamedAnswer
    from tunesmith_library_engine.chatting import Chat

_OPEN = "<think>"  # of the thoughts of most models


class Thoughts:
    """What is known of the thoughts of a model's answers.

    Raises: TunesmithError for a budget where no tokens are told.
    """

    def __init__(self, chat: Chat, asking: Asking) -> None:
        from tunesmith_library_engine.chatting import template_of

        self._template: Any = template_of(chat.engine, chat.handle)
        self._thinking = getattr(self._template, "thinking", None)
        self._processor, self._asking, self._budget = chat.handle.processor, asking, asking.thinking_budget
        if self._budget is not None and getattr(chat.engine, "template", None) is not None:
            raise TunesmithError(
                "thinking_budget closes a thought between two tokens, and the server takes no tokens.\n"
                "  model.path=MODEL takes the tokenizer and the template of its model; or leave thinking_budget out"
            )
        self._tell_what_means_nothing()

    def _tell_what_means_nothing(self) -> None:
        name, told = self._template.name, logger.warning
        if self._budget is not None and self._thinking is None:
            told("thinking_budget=%s means nothing: template %s has no thoughts", self._budget, name)
        if self._asking.enable_thinking is not None and not getattr(self._template, "switches_thinking", True):
            value = str(self._asking.enable_thinking).lower()
            told("enable_thinking=%s means nothing: template %s has no such switch", value, name)

    def tell_what_is_left_in(self, texts: Sequence[str]) -> None:
        """Warn of answers that begin with a thought which nobody took out, and which is measured with them."""
        if left := sum(text.lstrip().startswith(_OPEN) for text in texts):
            logger.warning(
                "%s of %s answers begin with %s, a thought that is measured as part of them: the server leaves it in, "
                "or template %s knows none. Have the server take thoughts out (vLLM: --reasoning-parser), "
                "or name the model, whose template does: model.path=MODEL",
                *(f"{left:,}", f"{len(texts):,}", _OPEN, self._template.name),
            )

    def budget(self, conversation: Conversation) -> int | None:
        """How many tokens the thought before an answer may have; None: as many as the answer, or there is none."""
        if self._budget is None or self._thinking is None:
            return None
        variables = {**self._template.variables, **self._template.switched(conversation.variables)}
        return None if self._thinking.off(variables) else self._budget

    def within(self, prompt: Sequence[int], tokens: Sequence[int]) -> bool:
        """Whether tokens behind a prompt, of which nothing is said to the user, end within a thought."""
        if self._thinking is None:
            return False
        from tunesmith_library_chat.decoding import decoder_of
        from tunesmith_library_chat.tokenizers import tokenizer_of

        decode, opening, closing = decoder_of(tokenizer_of(self._processor)), self._thinking.open, self._thinking.close
        text = decode(list(tokens))
        opened, closed = text.rfind(opening.strip()), text.rfind(closing.strip())
        return opened > closed or (closed < 0 and self._thinking.begun(decode(list(prompt[-_TAIL:]))))

    def closing(self, conversation: Conversation, tokens: Sequence[int]) -> list[int]:
        """The tokens that the template writes between a thought and what is said behind it, as far as they lack."""
        from tunesmith_library_chat.answer_grammars import source_of
        from tunesmith_library_chat.decoding import decoder_of
        from tunesmith_library_chat.leading import thought_end
        from tunesmith_library_chat.tokenizers import tokenizer_of
        from tunesmith_library_chat.tokenizing import special_ids

        tokenizer = tokenizer_of(self._processor)
        end = thought_end(source_of(self._template, special_ids(tokenizer), conversation))
        thought = decoder_of(tokenizer)(list(tokens))
        there = next(size for size in range(len(end), -1, -1) if thought.endswith(end[:size]))  # it may be cut within
        return list(tokenizer.encode(end[there:], add_special_tokens=False))


_TAIL = 64  # tokens of a prompt, among which the mark is that begins a thought


def cut_at(request: Request, budget: int | None) -> Request:
    """A request for a thought, of so many tokens at most; the whole where there is no budget."""
    limit = request.sampling.max_new_tokens
    if budget is None or (limit is not None and limit <= budget):
        return request
    return replace(request, sampling=replace(request.sampling, max_new_tokens=budget))


def rest_of(request: Request, tokens: Sequence[int], closing: Sequence[int]) -> Request | None:
    """A request for what comes behind tokens of its answer and those that close their thought.

    Returns: None where its limit leaves nothing; those that close a thought are not counted.
    """
    left = (request.sampling.max_new_tokens or 0) - len(tokens)
    if left < 1:
        return None
    seed = request.sampling.seed
    sampling = replace(request.sampling, max_new_tokens=left, seed=None if seed is None else seed + _DRAWS_APART)
    return replace(request, prompt=[*request.prompt, *tokens, *closing], sampling=sampling)


_DRAWS_APART = 2**20  # so that the rest of an answer is not drawn by the random numbers of its beginning


def behind(tokens: Sequence[int], answer: Answer) -> StreamedAnswer:
    """An answer that begins with tokens, and goes on with another; who cancels it cancels that."""
    from tunesmith_library_engine import StreamedAnswer

    whole = StreamedAnswer(answer.cancel)
    whole.put(Delta(tuple(tokens)))
    answer.listen(lambda item: whole.fail(item) if isinstance(item, BaseException) else whole.put(item))
    return whole
