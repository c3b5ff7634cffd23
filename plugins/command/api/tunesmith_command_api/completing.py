"""Completions: prompts in tokens, the log-probabilities of prompts, and the best of several answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .answering import Answers, Whole, gathered
from .completion_fields import CompletionRequest
from .completion_shapes import Echo, Numbers, echo_of
from .constraint_fields import constraint_of
from .errors import invalid
from .log_probs import Words
from .sampling_fields import sampling_of
from .service import Service

DEFAULT_MAX_TOKENS = 16
"""Tokens of a completion where a request does not say, as in OpenAI's API."""


class Completing:
    """A request for completions while it is answered."""

    def __init__(self, service: Service, body: CompletionRequest) -> None:
        """Raises: ApiError for a model that is not served."""
        self.service, self.body = service, body
        self.adapter = service.adapter_of(body.model)
        self.limit = DEFAULT_MAX_TOKENS if body.max_tokens is None else body.max_tokens
        self.texts: list[str | None] = []  # of the prompts; None where tokens were sent
        self.prompts: list[list[int]] = []
        self.echoes: list[Echo] = []  # by prompt, where they are wanted

    @property
    def words(self) -> Words | Numbers:
        """What tokens are called in log-probabilities."""
        return Numbers() if self.body.return_tokens_as_token_ids else self.service.words

    async def prepare(self) -> None:
        """Make tokens of the prompts, and see how likely they are where that is asked for.

        Raises: ApiError for a prompt that is empty, too long, or no tokens.
        """
        self.texts, self.prompts = await self.service.in_thread(self._prompts, "prompt")
        if self.body.echo:
            self.echoes = await self._echoes()

    async def answers(self) -> Answers:
        """Begin to answer. Raises: ApiError."""
        body = self.body
        sampling = sampling_of(body, self.limit, self.service)
        grammar = await self.service.in_thread(lambda: constraint_of(body))
        best_of = body.best_of or body.count
        log_probs = 0 if best_of > body.count and body.logprobs is None else body.logprobs
        return await self.service.completions(
            self.prompts,
            replace(sampling, grammar=grammar),
            n=best_of,
            stop=body.stops,
            adapter=self.adapter,
            log_probs=log_probs,
            skip_special_tokens=body.skip_special_tokens is not False,
        )

    async def wholes(self) -> tuple[Answers, list[Whole], list[int]]:
        """All answers, those that were chosen of them, and how many tokens each had that was computed."""
        answers = await self.answers()
        computed = await gathered(answers)
        return answers, self._chosen(computed), [len(whole.token_ids) for whole in computed]

    def _chosen(self, wholes: Sequence[Whole]) -> list[Whole]:
        """Of each prompt's answers the likeliest by token."""
        n, best_of = self.body.count, self.body.best_of or self.body.count
        if best_of == n:
            return list(wholes)
        chosen: list[Whole] = []
        for start in range(0, len(wholes), best_of):
            chosen += sorted(wholes[start : start + best_of], key=_likelihood, reverse=True)[:n]
        return chosen

    async def _echoes(self) -> list[Echo]:
        scores = None
        if self.body.logprobs is not None:
            scores = await self.service.score(self.prompts, alternatives=self.body.logprobs, adapter=self.adapter)
        service, texts, prompts, words = self.service, self.texts, self.prompts, self.words

        def made() -> list[Echo]:
            return [
                echo_of(service, prompt, texts[place], None if scores is None else scores[place], words)
                for place, prompt in enumerate(prompts)
            ]

        return await self.service.in_thread(made, "prompt")

    def _prompts(self) -> tuple[list[str | None], list[list[int]]]:
        given = self.body.prompt
        one = isinstance(given, str) or (bool(given) and isinstance(given[0], int))
        several: Sequence[Any] = [given] if one else given
        if not several:
            raise invalid("prompt is empty: at least one is needed", "prompt")
        texts = [each if isinstance(each, str) else None for each in several]
        prompts = [self.service.tokens_of(each, self.body.add_special_tokens is not False) for each in several]
        for place, prompt in enumerate(prompts):
            if not prompt:
                raise invalid(f"prompt {place} is empty: a model goes on from at least one token", "prompt")
        return texts, prompts


def _likelihood(whole: Whole) -> float:
    return sum(each.value for each in whole.log_probs) / max(len(whole.log_probs), 1)
