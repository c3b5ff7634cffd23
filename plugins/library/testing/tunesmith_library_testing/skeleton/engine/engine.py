"""The engine: a model of transformers, asked for one token after the other, with its cache."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import LogProb, ModelHandle, Request, Sampling
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine.one_by_one import OneByOne


class PlaceholderEngine(OneByOne):
    """The shortest one that there is; `OneByOne` has what it does not say."""

    honours = ("top_k",)

    def __init__(self, handle: ModelHandle, defaults: Sampling) -> None:
        self._model, self._defaults = handle.load().eval(), defaults
        self._home = self._model.device
        ends = end_tokens(None, tokenizer_of(handle.processor), self._model.generation_config)
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        super().__init__(limit, ends, defaults.max_new_tokens or 1)

    def tokens(self, request: Request) -> Iterator[tuple[int, LogProb | None]]:
        """Choose a token, give it, go on from it."""
        generator = torch.Generator(self._model.device)
        seed = request.sampling.seed
        generator.manual_seed(seed) if seed is not None else generator.seed()
        ids, cache = list(request.prompt), None
        while True:
            output = self._said(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            log_probs, cache = output.logits[0, -1].float().log_softmax(-1), output.past_key_values
            ids = [choose(log_probs, request.sampling, self._defaults, generator)]
            yield ids[0], None if request.log_probs is None else log_prob(log_probs, ids[0], request.log_probs)

    def log_probs(self, sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
        log_probs = self._said(list(sequence), use_cache=False).logits[0, :-1].float().log_softmax(-1)
        return tuple(log_prob(of, token, alternatives) for of, token in zip(log_probs, sequence[1:], strict=True))

    def exchange(self, weights: Iterable[tuple[str, Any]]) -> None:
        own = self._model.state_dict()
        for name, tensor in weights:
            if name not in own or own[name].shape != tensor.shape:
                raise TunesmithError(f"the model has no {name} of the shape {list(tensor.shape)}")
            own[name].copy_(tensor)

    def rest(self) -> None:
        self._model.to("cpu")

    def rise(self) -> None:
        self._model.to(self._home)

    @torch.no_grad()
    def _said(self, ids: list[int], **options: Any) -> Any:
        return self._model(input_ids=torch.tensor([ids], device=self._model.device), **options)


def choose(log_probs: torch.Tensor, asked: Sampling, defaults: Sampling, generator: torch.Generator) -> int:
    """The next token, of log-probabilities (V,), as it was asked for, else by the plugin's options."""
    temperature = defaults.temperature if asked.temperature is None else asked.temperature
    top_k = defaults.top_k if asked.top_k is None else asked.top_k
    if not temperature:
        return int(log_probs.argmax())
    if top_k:
        log_probs = log_probs.masked_fill(log_probs < log_probs.topk(top_k).values[-1], -torch.inf)
    return int(torch.multinomial((log_probs / temperature).softmax(-1), 1, generator=generator))


def log_prob(log_probs: torch.Tensor, token: int, alternatives: int) -> LogProb:
    """How likely a token is, and the likeliest ones."""
    best = log_probs.topk(alternatives)
    return LogProb(log_probs[token].item(), dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
