"""Thoughts that end when they have had so many tokens: the answer goes on behind the mark that closes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.types import Answer, Delta, Engine, Request
from tunesmith_library_chat import Thinking
from tunesmith_library_engine import StreamedAnswer


@dataclass(frozen=True)
class Budget:
    """How long a model may think.

    A request with a grammar is answered without: what it must follow cannot be begun in its middle.
    """

    tokens: int
    thinking: Thinking  # how the model's thoughts look
    tokenizer: Any

    def over(self, engine: Engine) -> _Limited:
        """What answers as an engine does, with thoughts that end."""
        return _Limited(engine, self)

    def thinks(self, prompt: Sequence[int], answer: Sequence[int]) -> bool | None:
        """Whether an answer is in the middle of its thought; None: in the middle of what may be a mark."""
        text = self._text(answer)
        said, mark, close = text.lstrip(), self.thinking.open.strip(), self.thinking.close
        if not (self.thinking.begun(self._text(prompt[-32:])) or said.startswith(mark)):
            return None if mark.startswith(said) else False
        if close in text:
            return False
        return None if any(text.endswith(close[:length]) for length in range(2, len(close))) else True

    @property
    def closing(self) -> tuple[int, ...]:
        """The tokens that end a thought."""
        close = self.thinking.close
        text = f"\n{close}\n\n" if close.startswith("</") else close
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False))


class _Limited:
    """The part of an engine that begins answers."""

    def __init__(self, engine: Engine, budget: Budget) -> None:
        self._engine, self._budget = engine, budget

    def submit(self, request: Request) -> Answer:
        """See `Engine.submit`."""
        if request.sampling.grammar is not None:
            return self._engine.submit(request)
        return _Cut(self._engine, request, self._budget).answer


class _Cut:
    """Two answers of an engine as one: with a thought that is as long as it may be, and with what comes behind it."""

    def __init__(self, engine: Engine, request: Request, budget: Budget) -> None:
        self._engine, self._request, self._budget = engine, request, budget
        self._tokens: list[int] = []
        self._watches = True  # whether there may still be a thought to end
        self._cut = False
        self._given = engine.submit(request)
        self.answer = StreamedAnswer(lambda: self._given.cancel())
        self._given.listen(self._hear)

    def _hear(self, item: Delta | BaseException) -> None:
        """Take the first answer's next delta; once its thought was ended it has no more to say."""
        if self._cut:
            return
        self._pass_on(item)
        if isinstance(item, BaseException) or item.finish_reason is not None:
            return
        self._tokens += item.token_ids
        if self._watches and len(self._tokens) >= self._budget.tokens:
            thinks = self._budget.thinks(self._request.prompt, self._tokens)
            self._watches = thinks is None
            if thinks:
                self._go_on()

    def _go_on(self) -> None:
        """End the thought, and have the engine go on behind it."""
        self._cut = True
        first, said = self._given, [*self._tokens, *self._budget.closing]
        first.cancel()
        self.answer.put(Delta(self._budget.closing))
        limit = self._request.sampling.max_new_tokens
        left = None if limit is None else limit - len(said)
        if left is not None and left < 1:
            self.answer.put(Delta((), (), "length"))
            return
        sampling = replace(self._request.sampling, max_new_tokens=left)
        try:
            asked = replace(self._request, prompt=[*self._request.prompt, *said], sampling=sampling)
            self._given = self._engine.submit(asked)
        except TunesmithError as error:
            self.answer.fail(error)
            return
        self._given.listen(self._pass_on)
        if self.answer.ended:  # cancelled meanwhile
            self._given.cancel()

    def _pass_on(self, item: Delta | BaseException) -> None:
        if isinstance(item, BaseException):
            self.answer.fail(item)
        else:
            self.answer.cached_tokens = self.answer.cached_tokens or getattr(self._given, "cached_tokens", 0)
            self.answer.put(item)
