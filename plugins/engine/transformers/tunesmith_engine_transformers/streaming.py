"""Batched generation that streams every row.

transformers' own streamers know one row. Its stopping criteria, though, see the whole batch after every token and say
for each row whether it is done, so one criterion does both: it reads the new tokens and ends the rows.
`model.generate` runs in a thread, because it calls and cannot be iterated.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from tunesmith.types import Delta

from .answer import Answer


def stream(run: Callable[[Callable[[Delta], None], threading.Event], None]) -> Iterator[Delta]:
    """Iterate over what `run(emit, cancelled)` emits in a thread of its own.

    Closing the iterator sets `cancelled` and waits until the thread has ended. An exception of `run` is raised here.
    """
    pieces: queue.SimpleQueue[Delta | BaseException | None] = queue.SimpleQueue()
    cancelled = threading.Event()

    def work() -> None:
        try:
            run(pieces.put, cancelled)
            pieces.put(None)
        except BaseException as error:
            pieces.put(error)

    thread = threading.Thread(target=work, name="generate", daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        cancelled.set()
        thread.join()


def generate_batch(
    model: Any,
    prompts: Sequence[list[int]],
    answers: Sequence[Answer],
    config: Any,
    emit: Callable[[Delta], None],
    cancelled: threading.Event,
) -> None:
    """Generate until every answer is done.

    Args:
        prompts: token ids, one list per row.
        answers: the same number, in the same order.
        config: transformers' GenerationConfig.
    """
    input_ids, attention_mask = left_padded(prompts, model.device)
    listener = _Listener(answers, input_ids.shape[1], emit, cancelled)
    model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        generation_config=config,
        stopping_criteria=StoppingCriteriaList([listener]),
    )
    if not cancelled.is_set():
        for answer in answers:
            if not answer.done:
                emit(answer.finish("length"))


def left_padded(prompts: Sequence[list[int]], device: Any) -> tuple[Any, Any]:
    """Make `input_ids` and `attention_mask`, both int64 (B, T), of prompts that end together.

    A row is padded with its own first token: a padding token would count as said already in a repetition penalty.
    """
    width = max(map(len, prompts))
    ids = [[prompt[0]] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@contextlib.contextmanager
def seeded(seed: int | None, device: Any) -> Iterator[None]:
    """Draw random numbers from `seed`, and leave the generators outside as they were; None: as they are."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class _Listener(StoppingCriteria):
    """Reads the new tokens of every row, and says which rows are done."""

    def __init__(
        self, answers: Sequence[Answer], seen: int, emit: Callable[[Delta], None], cancelled: threading.Event
    ) -> None:
        self._answers, self._seen, self._emit, self._cancelled = answers, seen, emit, cancelled

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        rows = input_ids[:, self._seen :].tolist()
        self._seen = input_ids.shape[1]
        for answer, tokens in zip(self._answers, rows, strict=True):
            for token in tokens:
                if not answer.done and (delta := answer.push(token)):
                    self._emit(delta)
        stop = self._cancelled.is_set()
        return torch.tensor([stop or answer.done for answer in self._answers], device=input_ids.device)
