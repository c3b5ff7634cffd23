"""The options of evaluators that have the model answer, and what of them is part of a result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from tunesmith.messages import announce
from tunesmith.ranges import at_least, between
from tunesmith.types import Sampling

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

T = TypeVar("T")


@dataclass(eq=False, kw_only=True)
class Asking:
    """How the model is asked; for plugins of the kind `evaluator`: `class Mine(Asking)`."""

    # tokens of an answer with its thought, at most; with thinking_budget those behind the thought
    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 512
    temperature: Annotated[float, at_least(0, most=100)] = 0.0  # 0 is greedy, 1 the model's own probabilities
    top_p: Annotated[float, between(0, 1)] = 1.0  # draw from the likeliest that have this probability together
    seed: Annotated[int, between(0, 2**32 - 1)] = 0  # of what is drawn; it counts up from one prompt to the next
    enable_thinking: bool | None = None  # whether the model thinks first; null leaves it to row and template
    # tokens of a thought, at most; then it is closed, and the answer goes on; null is no limit but max_new_tokens
    thinking_budget: Annotated[int, at_least(1, most=100_000_000)] | None = None
    # examples of each data set, the first; null is all
    limit: Annotated[int, at_least(1, most=100_000_000)] | None = None

    @property
    def tokens_of_answer(self) -> int:
        """Tokens that are written for an example, at most, for plans; 0 where none are."""
        return self.max_new_tokens + (self.thinking_budget or 0)

    def sampling(self) -> Sampling:
        """How the tokens of an answer are chosen."""
        return Sampling(
            max_new_tokens=self.max_new_tokens, temperature=self.temperature, top_p=self.top_p, seed=self.seed
        )

    def limited(self, sets: Mapping[str, Sequence[T]]) -> dict[str, Sequence[T]]:
        """The first examples of each set, and none of a set that is empty; what is left out is said."""
        kept: dict[str, Sequence[T]] = {}
        for name, rows in sets.items():
            if self.limit is not None and len(rows) > self.limit:
                announce(f"data set {name}", f"the first {self.limit:,} of {len(rows):,} examples", "limit")
            if len(rows):
                kept[name] = rows[: self.limit]
        return kept

    def settings(self, chat: Chat) -> dict[str, Any]:
        """What of template, thinking and sampling moves the numbers, for `Evaluation.settings`."""
        from tunesmith_library_engine.chatting import template_of

        template = template_of(chat.engine, chat.handle)
        tokens = ("bos_token", "eos_token", "unk_token", "pad_token")
        plain = (str, int, float, bool, type(None))
        variables = {
            name: value if isinstance(value, plain) else str(value)
            for name, value in template.variables.items()
            if name not in tokens
        }
        return {
            "template": template.name,
            "template_sha256": hashlib.sha256(template.jinja.encode()).hexdigest()[:12],
            "template_variables": variables,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "enable_thinking": self.enable_thinking,
            "thinking_budget": self.thinking_budget,
            "limit": self.limit,
        }
