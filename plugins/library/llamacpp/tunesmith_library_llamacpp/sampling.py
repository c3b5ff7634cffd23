"""How llama.cpp chooses the next token of one answer: its own samplers, in the order in which transformers has them."""

from __future__ import annotations

import random
import weakref
from collections.abc import Sequence
from typing import Any

from tunesmith.types import Sampling

from tunesmith_library_llamacpp.context import Context
from tunesmith_library_llamacpp.model import Model

_AT_RANDOM = 0xFFFFFFFF  # the seed by which llama.cpp takes another one each time


class Sampler:
    """Chooses the tokens of one answer.

    Bias and penalties first, then temperature, top_k, top_p and min_p; the draw has random numbers of its own, so that
    a seed gives the same answer whatever is answered beside it.

    Args:
        sampling: with every value that is left open filled in; a temperature of 0 takes the likeliest.
        prompt: its tokens count for the repetition penalty.
        seed: any whole number.
    """

    def __init__(self, model: Model, sampling: Sampling, prompt: Sequence[int], seed: int) -> None:
        self._native = native = model.native
        parameters = native.llama_sampler_chain_default_params()
        parameters.no_perf = True
        self._chain = native.llama_sampler_chain_init(parameters)
        self.close = weakref.finalize(self, native.llama_sampler_free, self._chain)
        for sampler in self._samplers(model, sampling, prompt, seed):
            native.llama_sampler_chain_add(self._chain, sampler)

    def choose(self, context: Context, entry: int) -> int:
        """The next token, behind an entry of the last batch."""
        return int(self._native.llama_sampler_sample(self._chain, context.pointer, entry))

    def _samplers(self, model: Model, sampling: Sampling, prompt: Sequence[int], seed: int) -> list[Any]:
        native, made = self._native, []
        if sampling.logit_bias:
            pairs = [native.llama_logit_bias(token, bias) for token, bias in sampling.logit_bias.items()]
            array = (native.llama_logit_bias * len(pairs))(*pairs)
            made.append(native.llama_sampler_init_logit_bias(model.vocabulary_size, len(pairs), array))
        if sampling.repetition_penalty not in (None, 1.0):
            remembered = len(prompt) + (sampling.max_new_tokens or 0)
            repeated = self._penalties(model, remembered, sampling.repetition_penalty or 1.0)
            for token in prompt:
                native.llama_sampler_accept(repeated, token)
            made.append(repeated)
        if sampling.frequency_penalty or sampling.presence_penalty:
            own = (sampling.frequency_penalty, sampling.presence_penalty)
            made.append(self._penalties(model, sampling.max_new_tokens or 1, 1.0, *own))
        return [*made, *self._drawing(sampling, seed)]

    def _penalties(
        self, model: Model, remembered: int, repetition: float, frequency: float = 0.0, presence: float = 0.0
    ) -> Any:
        """A sampler that makes the tokens less likely that it was told last, so many of them."""
        init = self._native.llama_sampler_init_penalties
        return init(model.vocabulary_size, remembered, repetition, frequency, presence)

    def _drawing(self, sampling: Sampling, seed: int) -> list[Any]:
        native = self._native
        if not sampling.temperature:
            return [native.llama_sampler_init_greedy()]
        made = [native.llama_sampler_init_temp(sampling.temperature)]
        if sampling.top_k:
            made.append(native.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p is not None and sampling.top_p < 1.0:
            made.append(native.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p:
            made.append(native.llama_sampler_init_min_p(sampling.min_p, 1))
        drawn = random.Random(seed % 2**64)  # Random looks at the absolute value of a seed alone
        return [*made, native.llama_sampler_init_dist(drawn.getrandbits(64) % _AT_RANDOM)]


def log_probabilities(logits: Any) -> Any:
    """The natural logarithms of the probabilities: of fp32 (…, V) in fp64."""
    import numpy

    exact = logits.astype(numpy.float64)
    exact -= exact.max(-1, keepdims=True)
    return exact - numpy.log(numpy.exp(exact).sum(-1, keepdims=True))
