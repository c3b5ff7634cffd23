"""The model as a function of tokens and a cache, and why there are models with which rows cannot join."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

import torch
from tunesmith_library_training.drawing import left_padded

from .caching import RowCache, row_cache, unknown_layers
from .generating import inputs_of
from .narrow import narrow
from .processors import unknown_processors
from .rows import Row
from .settings import generation_config

_CACHES = ("past_key_values", "cache")
"""What models call the keys and values of what they have read: `cache` since transformers 5.24."""


class Forward:
    """Computes the next tokens of rows of a cache.

    Args:
        model: with its adapters; which of them acts is said by whoever calls.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._known = frozenset(inspect.signature(type(self._inner).forward).parameters)
        self._cache = next((name for name in _CACHES if name in self._known), None)
        self._turn = _turn_of(self._inner.config)
        self.continues = True  # whether tokens may be computed in several parts, which `check_states` finds out

    @property
    def device(self) -> Any:
        return self.model.device

    def tokens(self, products: int) -> int:
        """For how many tokens the model computes so many products; more where not all weights take part in each."""
        weights: int = sum(parameter.numel() for parameter in self._inner.parameters())
        return products // max(weights, 1)

    def why_not(self) -> str:
        """Why rows of this model cannot join and leave; empty where they can."""
        config = self._inner.config
        if config.is_encoder_decoder:
            return "it has an encoder"
        if self._cache is None:
            return "it has a cache of its own kind"
        if any(getattr(adapter, "is_prompt_learning", False) for adapter in _adapters(self.model)):
            return "its adapter puts tokens before the prompt"
        return unknown_layers(config) or unknown_processors(self.model.generation_config)

    def stands_alone(self, row: Row) -> bool:
        """Whether a row may come to a length at which the positions of all that is computed beside it would change."""
        return self._turn is not None and len(row.request.prompt) + row.limit > self._turn

    def new_cache(self) -> RowCache:
        return row_cache(self._inner.config)

    def __call__(self, input_ids: Any, lengths: Any, positions: Any, cache: RowCache) -> Any:
        """Compute the next tokens of all rows of a cache, whose columns they become.

        Args:
            input_ids: int64 (n, q).
            lengths: int64 (n,), the tokens of each row with these; what a row has less than q is padding.
            positions: int64 (n, q) or (dimensions, n, q).

        Returns: fp32 (n, V), the scores of the token behind the last, which may be changed.
        """
        scores = self.logits(input_ids, lengths, positions, cache, 1)[:, -1]
        return scores.float() if scores.dtype != torch.float32 else scores

    @torch.no_grad()
    def logits(self, input_ids: Any, lengths: Any, positions: Any, cache: RowCache, count: int) -> Any:
        """The same: (n, count, V), the scores behind each of the last tokens, in the model's own numbers."""
        columns = cache.span + input_ids.shape[1]
        mask = torch.arange(columns, device=lengths.device) >= columns - lengths[:, None]
        inputs = {"position_ids": positions, "logits_to_keep": count, self._cache: cache}
        with narrow(self._inner.get_output_embeddings()):
            output = self._inner(
                input_ids=input_ids,
                attention_mask=mask.long(),
                use_cache=True,
                **{name: value for name, value in inputs.items() if name in self._known},
            )
        return output.logits[:, -count:]

    def alone(self, row: Row, ends: Collection[int]) -> tuple[RowCache, Any, Any] | None:
        """Compute the prompt of a row with tensors of its own, as transformers' own generation does it.

        Returns: its cache, the scores fp32 (1, V) behind it, and int64 (1, 1) or (dimensions, 1, 1), the position of
            its last token; None where others cannot join it.
        """
        cache, seen = self.new_cache(), list[tuple[Any, Any]]()

        def see(module: Any, arguments: Any, inputs: dict[str, Any], output: Any) -> None:
            seen.append((inputs.get("position_ids"), output.logits[:, -1].float()))

        hook = self._inner.register_forward_hook(see, with_kwargs=True)
        ids, mask = left_padded([list(row.request.prompt)], self.device)
        try:
            self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=generation_config(self.model.generation_config, 1, ends),
                **{str(self._cache): cache},
                **inputs_of(row.request, self.model),
            )
        finally:
            hook.remove()
        positions, scores = seen[-1]
        if len(seen) > 1 or not cache.filled(ids.shape[1]) or (positions is None and "position_ids" in self._known):
            return None
        last = mask.sum(-1, keepdim=True) - 1 if positions is None else positions[..., -1:]
        return cache, scores, last

    def check_states(self) -> None:
        """Find out whether the model goes on from states of several tokens before: `continues`.

        Models without states do. Of the others some compute a prompt at once only.
        """
        if self.new_cache().has_states:
            self.continues = self._parts_agree

    def goes_on(self, length: int) -> bool:
        """Whether rows of up to so many tokens can go on from any of the tokens before."""
        alike = self._turn is None or length <= self._turn
        return alike and self.new_cache().holds(length, length - 1) and self._parts_agree

    @cached_property
    def _parts_agree(self) -> bool:
        """Whether tokens that are computed in parts get the scores that they get at once."""
        tokens = torch.arange(8, device=self.device)[None] % self._inner.config.get_text_config().vocab_size
        try:
            whole, parted = (self._said(tokens, parts) for parts in ((8,), (5, 3)))
        except Exception:  # whatever it is, it has to do with the second part; a broken model fails at its first prompt
            return False
        spread = whole.std().clamp_min(torch.finfo(torch.float32).tiny)
        exact = self._inner.dtype == torch.float32
        return bool((whole - parted).abs().max() <= spread * (1e-3 if exact else 0.1))

    def _said(self, tokens: Any, parts: Sequence[int]) -> Any:
        cache, done, scores = self.new_cache(), 0, None
        for count in parts:
            positions = torch.arange(done, done + count, device=self.device)[None]
            lengths = torch.tensor([done + count], device=self.device)
            scores = self(tokens[:, done : done + count], lengths, positions, cache)
            done += count
        return scores


def _turn_of(config: Any) -> int | None:
    """The length from which on a model computes the positions of a whole batch in another way."""
    rope = getattr(config.get_text_config(), "rope_parameters", None) or {}
    if rope.get("rope_type") not in ("dynamic", "longrope"):
        return None
    own = config.get_text_config()
    turn = rope.get("original_max_position_embeddings") or getattr(own, "original_max_position_embeddings", None)
    return int(turn or own.max_position_embeddings)


def _adapters(model: Any) -> Collection[Any]:
    found: Callable[[], Collection[Any]] = getattr(model, "peft_config", {}).values
    return found()
