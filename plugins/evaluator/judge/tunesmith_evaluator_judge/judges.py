"""A judge: any model that a configuration names, asked within a budget, and not twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from tunesmith import announce
from tunesmith_library_engine.sessions import ChatSession
from tunesmith_library_evaluating.answering import answered
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.prompts import Prompt

from tunesmith_evaluator_judge.budget import Budget, estimated
from tunesmith_evaluator_judge.cache import Cache

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

_AT_A_TIME = 64  # prompts; what they have cost is looked at between


class JudgeModel:
    """Replies to prompts; loaded, or connected to, when the first is asked that the cache does not know."""

    def __init__(self, config: Mapping[str, Any], asking: Asking, cache: Cache, budget: Budget) -> None:
        """
        Args:
            config: a model, or an engine that brings one.
            asking: how its replies are drawn.
        """
        self._config, self._asking, self._cache, self._budget = dict(config), asking, cache, budget
        self._chat: Chat | None = None
        self.known = 0  # prompts that the cache answered
        self.hindered = ""  # the cap that kept it from going on

    def replies(self, groups: Sequence[Sequence[str]]) -> list[list[str] | None]:
        """The replies to groups of prompts, which are asked as a whole or not at all: None of those left out."""
        self.known += sum(self._cache.get(prompt) is not None for group in groups for prompt in group)
        for batch in self._batches(groups):
            self._ask(batch)
        return [self._reply(group) for group in groups]

    def _batches(self, groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
        """The prompts to ask, some at a time, each once; none behind a group that a cap may not let through."""
        batch: list[str] = []
        for group in groups:
            new = [prompt for prompt in dict.fromkeys(group) if self._cache.get(prompt) is None and prompt not in batch]
            if batch and (len(batch) + len(new) > _AT_A_TIME or self._hinders([*batch, *new])):
                yield batch  # once it is counted, the caps may have room
                batch = []
            if not new:
                continue
            if cap := self._hinders([*batch, *new]):
                self.hindered = cap
                return
            batch += new
        if batch:
            yield batch

    def _hinders(self, prompts: list[str]) -> str:
        return self._budget.hinders(prompts, self._asking.max_new_tokens)

    def _ask(self, prompts: list[str]) -> None:
        chat = self._chat = self._chat or ChatSession(self._config)
        before = chat.engine.stats()
        asked = [Prompt("judge", [{"role": "user", "content": prompt}], None, None, {}) for prompt in prompts]
        found = answered(chat, asked, self._asking.sampling(), asking=self._asking)
        after = chat.engine.stats()
        counted = after.prompt_tokens - before.prompt_tokens
        if counted == 0:  # the server tells no usage
            counted, new = sum(map(estimated, prompts)), sum(estimated(reply.text) for reply in found)
        else:
            new = after.new_tokens - before.new_tokens
        self._budget.spend(len(prompts), counted, new)
        self._cache.put({prompt: reply.text for prompt, reply in zip(prompts, found, strict=True)})

    def _reply(self, group: Sequence[str]) -> list[str] | None:
        found = [reply for prompt in group if (reply := self._cache.get(prompt)) is not None]
        return found if len(found) == len(group) else None

    def report(self) -> None:
        """Say what was asked, what it has cost, and what kept it from going on."""
        budget = self._budget
        tokens = f"{budget.prompt_tokens:,} + {budget.new_tokens:,} tokens"
        cost = f", cost {budget.cost:.4g}" if budget.cost else ""
        announce("judge", f"{budget.requests:,} requests, {self.known:,} replies known", f"{tokens}{cost}")
        if self.hindered:
            announce("judge", "stopped", f"a further request may have gone over {self.hindered}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._chat is not None:
            self._chat.close()
            self._chat = None
