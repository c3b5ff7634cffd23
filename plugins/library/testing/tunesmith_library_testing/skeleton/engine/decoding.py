"""One answer: choose a token, give it, go on from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from tunesmith.types import LogProb, Sampling


@dataclass(frozen=True)
class Choice:
    """How the next token is chosen, and for how long."""

    max_new_tokens: int
    temperature: float
    top_k: int
    seed: int | None = None

    def over(self, asked: Sampling) -> "Choice":
        """The same, where nothing else is asked."""
        wanted = {field.name: getattr(asked, field.name) for field in fields(self)}
        return Choice(**{name: getattr(self, name) if value is None else value for name, value in wanted.items()})


@torch.inference_mode()
def tokens(model: Any, prompt: Sequence[int], choice: Choice) -> Iterator[tuple[int, torch.Tensor]]:
    """Give token after token, each with the log-probabilities (V,) of all that it might have been."""
    generator = torch.Generator(model.device)
    generator.manual_seed(choice.seed) if choice.seed is not None else generator.seed()
    ids, cache = torch.tensor([list(prompt)], device=model.device), None
    while True:
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        log_probs, cache = output.logits[0, -1].float().log_softmax(-1), output.past_key_values
        token = _choose(log_probs, choice, generator)
        yield token, log_probs
        ids = torch.tensor([[token]], device=model.device)


@torch.inference_mode()
def scores(model: Any, sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
    """How likely the tokens of a sequence are behind its first."""
    ids = torch.tensor([list(sequence)], device=model.device)
    log_probs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
    return tuple(log_prob(of, token, alternatives) for of, token in zip(log_probs, sequence[1:], strict=True))


def log_prob(log_probs: torch.Tensor, token: int, alternatives: int) -> LogProb:
    """How likely a token is, and the likeliest ones."""
    best = log_probs.topk(alternatives)
    return LogProb(log_probs[token].item(), dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)))


def _choose(log_probs: torch.Tensor, choice: Choice, generator: torch.Generator) -> int:
    if choice.temperature == 0:
        return int(log_probs.argmax())
    if choice.top_k:
        log_probs = log_probs.masked_fill(log_probs < log_probs.topk(choice.top_k).values[-1], -torch.inf)
    return int(torch.multinomial((log_probs / choice.temperature).softmax(-1), 1, generator=generator))
