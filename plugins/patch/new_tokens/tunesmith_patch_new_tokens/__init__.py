"""Tokens that a vocabulary gets, and where the rows of their embeddings start: at the mean, at noise around it, or at
what the tokens stand for.

The rows are what an adapter trains: all of them with `full`, these alone with LoRA's `train_tokens`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.traits import PatchTraits
from tunesmith.types import ModelSource, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_KEY = "patch.new_tokens"
_TRAINING = ("adapter.train_tokens", "adapter.modules_to_save", "adapter.extra_modules")
"""Options by which adapters that leave the base as it is train rows of its embeddings."""


@plugin
class NewTokens:
    """Add tokens to the vocabulary, and start their rows in the embeddings and in the output head."""

    traits: ClassVar[PatchTraits] = PatchTraits(keeps_layers=True)
    known_as: ClassVar[dict[str, str]] = {"add_tokens": "tokens", "add_special_tokens": "special_tokens"}

    tokens: list[str] = []  # words of texts, which answers show
    special_tokens: list[str] = []  # control tokens, which answers do not show
    descriptions: dict[str, str] = {}  # what tokens stand for: {"<|drawing|>": "the beginning of a drawing"}
    # where rows start: mean of all other rows; noise: that with normal noise of deviation 1 / √width; description: mean
    # of the rows of its tokens; description_noise: that with the noise
    start: Literal["mean", "noise", "description", "description_noise"] = "mean"

    @property
    def _all(self) -> list[str]:
        return [*self.tokens, *self.special_tokens]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return [*self._check_names(), *self._check_descriptions(), *self._check_training(plan)]

    def _check_names(self) -> Iterator[Problem]:
        if not self._all:
            yield Problem(f"{_KEY}.tokens", "No token is named.", f"{_KEY}.tokens=['<wave>']")
        for token, count in Counter(self._all).items():
            if not token.strip():
                yield Problem(f"{_KEY}.tokens", "A token is empty.", "leave it out")
            elif count > 1:
                yield Problem(f"{_KEY}.tokens", f"{token} is named {count} times.", "name it once")

    def _check_descriptions(self) -> Iterator[Problem]:
        for token in self.descriptions.keys() - set(self._all):
            message = f"{token} is described, and is no token that is added."
            yield Problem(f"{_KEY}.descriptions", message, choices(token, self._all))
        if self.descriptions and not self.start.startswith("description"):
            message = f"Descriptions have no effect with start={self.start}."
            yield Problem(f"{_KEY}.start", message, f"{_KEY}.start=description", "warning")
        without = [token for token in self._all if not self.descriptions.get(token, "").strip()]
        if without and self.start.startswith("description"):
            message = f"{len(without)} of {len(self._all)} tokens have no description and start at the mean."
            yield Problem(f"{_KEY}.descriptions", message, f"describe {', '.join(without[:5])}", "warning")

    def _check_training(self, plan: Plan) -> Iterator[Problem]:
        adapter = plan.traits("adapter")
        if plan.command != "train" or adapter is None or adapter.whole or any(map(plan.get, _TRAINING)):
            return
        advice = "adapter=lora adapter.train_tokens=[…], or the option that trains the embeddings whole"
        message = "The rows of new tokens are not trained: they stay where they start, and no adapter holds them."
        yield Problem(f"{_KEY}.tokens", message, advice, "warning")

    @hookimpl(wrapper=True, trylast=True)  # before an adapter looks them up
    def load_processor(self) -> Generator[None, Any, Any]:
        processor = yield
        if self._all:
            from tunesmith_library_chat import tokenizer_of

            tokenizer = tokenizer_of(processor)
            known = tokenizer.get_vocab()
            added = tokenizer.add_tokens([token for token in self.tokens if token not in known])
            special = [token for token in self.special_tokens if token not in known]
            added += tokenizer.add_special_tokens(  # among the tokenizer's own, which whoever reads answers leaves out
                {"extra_special_tokens": special}, replace_extra_special_tokens=False
            )
            announce("new tokens", f"{len(self._all)}, {added} of them new to the tokenizer", _KEY)
        return processor

    @hookimpl(wrapper=True)
    def load_model(self, source: ModelSource, processor: Any) -> Generator[None, Any, Any]:
        """Raises: TunesmithError when the embeddings hold no numbers that could be set."""
        model = yield
        if self._all:
            from .starting import start_rows

            start_rows(model, processor, source, self._all, self.start, self.descriptions)
        return model
