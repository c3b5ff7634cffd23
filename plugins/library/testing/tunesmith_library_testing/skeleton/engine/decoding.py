"""One answer: choose a token, decode, look for what ends the answer, go on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Choice:
    """How the next token is chosen, and for how long."""

    max_new_tokens: int
    temperature: float
    top_k: int
    seed: int | None


Piece = tuple[str, int, Any]  # text, number of tokens, finish reason


@torch.inference_mode()
def answer(model: Any, tokenizer: Any, prompt: str, stop: tuple[str, ...], choice: Choice) -> Iterator[Piece]:
    """Give the pieces of an answer; the last one says why it ended.

    Text is held back while it may be half a character or the beginning of a string of `stop`.
    """
    generator = torch.Generator(model.device)
    generator.manual_seed(choice.seed) if choice.seed is not None else generator.seed()
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)], device=model.device)
    made: list[int] = []
    given, waiting, cache = "", 0, None
    while len(made) < choice.max_new_tokens:
        output = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        token, cache = _choose(output.logits[0, -1].float(), choice, generator), output.past_key_values
        made.append(token)
        waiting += 1
        text = tokenizer.decode(made)
        ends = [text.index(string) for string in stop if string in text]
        if ends or token == tokenizer.eos_token_id:
            whole = text[: min(ends)] if ends else tokenizer.decode(made[:-1])
            yield whole[len(given) :], waiting, "stop"
            return
        safe = text[: len(text) - _held_back(text, stop)]
        if len(safe) > len(given):
            yield safe[len(given) :], waiting, None
            given, waiting = safe, 0
        ids = torch.tensor([[token]], device=model.device)
    yield tokenizer.decode(made)[len(given) :], waiting, "length"


def _choose(logits: torch.Tensor, choice: Choice, generator: torch.Generator) -> int:
    if choice.temperature == 0:
        return int(logits.argmax())
    if choice.top_k:
        logits = logits.masked_fill(logits < logits.topk(choice.top_k).values[-1], -torch.inf)
    return int(torch.multinomial((logits / choice.temperature).softmax(-1), 1, generator=generator))


def _held_back(text: str, stop: tuple[str, ...]) -> int:
    """How many characters at the end may still change, or begin a string of `stop`."""
    half = len(text) - len(text.rstrip("\ufffd"))
    begun = [size for string in stop for size in range(1, len(string)) if text.endswith(string[:size])]
    return max([half, *begun])
