"""What the transformers engine costs beside transformers itself: the same prompts in one batch of `model.generate`, and
as requests of their own. Processor time, which other programs on the machine change little; every answer is compared.

The series are interleaved, for a machine's speed changes while it is measured; of each the fastest counts.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from tunesmith.types import Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_library_testing.parts import handle_of
from tunesmith_library_testing.tiny import tiny_tokenizer

PROMPT, NEW, AT_ONCE, ROUNDS = 64, 64, (1, 4, 16), 4
SHAPES: dict[str, dict[str, Any]] = {
    "0.2M": {"vocab_size": 379, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    "40M": {"vocab_size": 16_000, "hidden_size": 512, "intermediate_size": 1_408, "num_hidden_layers": 8},
}


def timed(answers: Callable[[], list[list[int]]]) -> tuple[float, list[list[int]]]:
    """Seconds of the processor, of all threads, and what was answered."""
    start = time.process_time()
    answered = answers()
    return time.process_time() - start, answered


def measure(shape: dict[str, Any]) -> dict[tuple[str, int], float]:
    """Seconds by who answers and how many requests at once."""
    torch.manual_seed(0)
    heads = {"num_attention_heads": shape["hidden_size"] // 16, "num_key_value_heads": shape["hidden_size"] // 32}
    model: Any = LlamaForCausalLM(LlamaConfig(**shape, **heads, eos_token_id=None)).eval()
    prompts = torch.randint(5, 300, (max(AT_ONCE), PROMPT))
    handle = handle_of(Path(), tiny_tokenizer(), load=lambda: model)
    engine = Transformers(prefix_cache=0).open_engine(handle)
    sampling = Sampling(temperature=0.0, max_new_tokens=NEW)
    ends = sorted(engine.end_token_ids)

    def endless(module: Any, arguments: Any, output: Any) -> None:
        output.logits[..., ends] = -torch.inf

    def generated(count: int) -> list[list[int]]:
        options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
        ids = prompts[:count]
        made: list[list[int]] = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[:, PROMPT:].tolist()
        return made

    def requested(count: int) -> list[list[int]]:
        begun = [engine.submit(Request(prompt, sampling)) for prompt in prompts[:count].tolist()]
        return [list(answer.result().token_ids) for answer in begun]

    model.register_forward_hook(endless)
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for count in AT_ONCE:
            theirs, expected = timed(lambda: generated(count))  # noqa: B023
            ours, answered = timed(lambda: requested(count))  # noqa: B023
            if answered != expected:
                sys.exit(f"{count} at once: the engine's answers are others than those of model.generate")
            for who, seconds in (("generate", theirs), ("engine", ours)):
                best[who, count] = min(seconds, best.get((who, count), seconds))
    engine.close()
    return best


def main() -> None:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        print(f"engine: tokens per second of processor time, {PROMPT} tokens and {NEW} new ones, {threads} threads")
        for name, shape in SHAPES.items():
            best = measure(shape)
            for count in AT_ONCE:
                theirs, ours = (count * NEW / best[who, count] for who in ("generate", "engine"))
                times = best["engine", count] / best["engine", 1]
                beside = f"{theirs:8,.0f} generate {ours:8,.0f} engine, {ours / theirs:4.2f} of it"
                print(f"  {name:>5} {count:3} at once {beside}, {times:5.2f} x the time of one", flush=True)
    print()


if __name__ == "__main__":
    main()
