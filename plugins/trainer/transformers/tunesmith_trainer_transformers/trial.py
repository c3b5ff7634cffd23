"""The worst batch first: a run that is near the limit of its memory tries it before its first step.

So memory runs out in the first seconds, and not after hours. The trial leaves nothing: its gradients are dropped, and
random numbers, sums and what plugins remember are as before it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tunesmith import announce
from tunesmith.types import TrainingJob
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_training import lengths, on_host, processes, remembering
from tunesmith_library_training.states import random_state, set_random_state

from tunesmith_trainer_transformers.memory import longest_batch, needed, peak
from tunesmith_trainer_transformers.passes import Piece, tokens
from tunesmith_trainer_transformers.shortage import ended, first_line, give_back, is_shortage
from tunesmith_trainer_transformers.sizing import passes_of

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers

NEAR = 0.8
"""Share of what may be filled from which on a run is near the limit."""

MESSAGES = ("a run near the limit",)
"""Why a batch is tried first, for catalogues of other languages."""


@dataclass(frozen=True)
class Worst:
    """The batch that needs the most."""

    places: list[int]  # of its examples, the longest first
    held: int  # bytes that later passes find taken: the optimizer's states, gradients of the passes before
    reason: str


def worst_of(
    options: Transformers, job: TrainingJob, *, there: Room | None, recomputes: bool, budget: int | None, always: bool
) -> Worst | None:
    """What is to be tried first; None where a run is far from the limit, or nobody knows its longest examples.

    Args:
        there: the memory of the device.
        recomputes: activations are computed again in the backward pass.
        budget: tokens of merged passes; None where none are.
        always: try it wherever it can be found.
    """
    known, accepted = lengths.every(job.data.train), longest_batch(options, job)
    if known is None or accepted is None or options._beside.generates:
        return None
    most = max(accepted, budget or 0)
    near = there is not None and not Room(there.total, NEAR * there.share).holds(peak(options, job, most, recomputes))
    if not processes.any_of(near or always):
        return None
    order = torch.tensor(known).argsort(descending=True, stable=True).tolist()
    places, total = order[: int(options.per_device_train_batch_size)], 0
    total = int(known[places].sum())
    for place in order[len(places) :]:
        total += int(known[place])
        if budget is None or total > budget:
            break
        places.append(place)
    estimate = needed(options, job, most, recomputes)
    again = passes_of(options) > 1
    held = sum(
        memory.bytes
        for memory in estimate.memory.values()
        if memory.of == "states" or (again and memory.of == "gradients")
    )
    return Worst(places, int(held), "a run near the limit" if near else "trainer.per_device_train_batch_size=auto")


def try_first(loop: Any, model: Any, worst: Worst) -> None:
    """Make the pass of the worst batch, and less of it where memory does not hold it. All processes call it.

    Args:
        loop: the `loop.Loop` that trains, which imports this module.

    Raises: OutOfMemory where that cannot be made less, on all processes.
    """
    random, remembered = random_state(), remembering.snapshot(loop.job.model)
    dataset: Any = loop.train_dataset
    piece = loop.cutter.made([dataset[place] for place in worst.places])
    while True:
        part = loop.cutter.cut(piece)[0]
        said = next(filter(None, processes.gathered(_failure(loop, model, part, worst.held), loop.group)), "")
        model.zero_grad()
        give_back(loop.args.device)
        set_random_state(random)
        remembered()
        if not said:
            break
        why = loop.cannot_go_on(part)
        if why:
            why = f"the trial of the longest batch; {why}"
            raise ended(loop.run.job.output_dir, MemoryError(said), why, loop.change_for(part))
        loop.lessen(part, said)
    size = sum(map(tokens, loop.cutter.examples_of(part)))
    beside = f", with {in_words(worst.held)} beside it for what later passes find taken" if worst.held else ""
    announce("worst batch", f"tried first: {part.count} examples, {size:,} tokens", f"it fits{beside}; {worst.reason}")
    loop.step_began = time.perf_counter()


def _failure(loop: Any, model: Any, piece: Piece, held: int) -> str:
    """What the allocator said to a forward and a backward pass; empty where memory held them."""
    try:
        _run(loop, model, piece, held)
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        return first_line(error)
    return ""


def _run(loop: Any, model: Any, piece: Piece, held: int) -> None:
    optimizer: Any = loop.optimizer
    taken = held if not getattr(optimizer, "state", None) else 0
    beside = torch.empty(taken, dtype=torch.uint8, device=loop.args.device)
    several = processes.count() > 1
    with loop.accelerator.no_sync(model) if several else contextlib.nullcontext():
        model.train()
        batch = loop._prepare_inputs(piece.batch)
        on_host.attach(batch)
        with loop.compute_loss_context_manager():
            output = loop.job.compute_loss(model=model, batch=batch)
        loop.accelerator.backward(output.loss)
    del beside
