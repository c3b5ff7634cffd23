"""What the trained model says, in memory, to the tokens that a server gave.

Not by an engine: the server may be one, and what it is measured by is computed without it, in float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_proving.computing import in_float32


class Trained:
    """The model of a run, loaded when it is made."""

    def __init__(self, handle: ModelHandle) -> None:
        self._model = handle.load().eval()
        tokenizer = tokenizer_of(handle.processor)
        configured = getattr(self._model.generation_config, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        stops = [tokenizer.encode(text, add_special_tokens=False) for text in handle.template.stop]
        ends = {tokenizer.eos_token_id, *listed, *(ids[0] for ids in stops if len(ids) == 1)}
        self.ends: frozenset[int] = frozenset(ends - {None})
        self.end_texts = {*handle.template.stop, *(tokenizer.decode([token]) for token in self.ends)}

    def log_probs(self, ids: Sequence[int], last: int) -> torch.Tensor:
        """Of the tokens that follow each of the last ones: float32 (last, V), normalised, on the CPU."""
        model: Any = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        inputs = torch.tensor([list(ids)], device=next(self._model.parameters()).device)
        with torch.no_grad(), in_float32(self._model):
            said = self._model(input_ids=inputs, use_cache=False, **({"logits_to_keep": last} if keeps else {}))
        logits: torch.Tensor = said.logits[0, -last:].float().cpu()
        return logits.log_softmax(-1)

    def likeliest(self, prompt: Sequence[int], count: int) -> list[int]:
        """The greedy answer: at most so many tokens, without the one that ends it."""
        found = list[int]()
        while len(found) < count:
            token = int(self.log_probs([*prompt, *found], 1)[0].argmax())
            if token in self.ends:
                break
            found.append(token)
        return found
