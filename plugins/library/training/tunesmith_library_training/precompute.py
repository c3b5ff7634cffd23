"""The reference's log-probabilities computed once, before training, and kept as columns of the data. Each process of a
run computes those of its share of the batches, and all get all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from tunesmith import announce
from tunesmith.types import Batch, DatasetSplits, TrainingJob
from tunesmith_library_weights.switching import without_dropout

from tunesmith_library_training import processes
from tunesmith_library_training.isolation import takes_concatenated


class WithColumns:
    """A data set with further columns."""

    def __init__(self, dataset: Any, columns: Mapping[str, list[Any]]) -> None:
        self.dataset, self.columns = dataset, columns

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.dataset[index], **{name: values[index] for name, values in self.columns.items()}}


def with_reference_columns(
    job: TrainingJob,
    reference: Any,
    log_probs: Callable[[Any, Batch], Mapping[str, torch.Tensor]],
    *,
    batch_size: int,
    padding_free: bool,
    use_cpu: bool,
) -> TrainingJob:
    """Add what the reference says to all data sets of a job.

    Args:
        reference: a model, or None for the one to be trained: it has not changed yet.
        log_probs: of a model and a batch, by name of the column: one number per example, (P,) fp32.
        batch_size: examples that are asked about at a time.
        padding_free: batches without padding, for a model that takes them.
    """
    model = job.model if reference is None else reference
    count = len(job.data.train) + sum(map(len, job.data.eval.values()))
    announce("reference", f"log-probabilities of {count:,} examples", "stage.precompute_reference=true")

    def extended(dataset: Any) -> WithColumns:
        own: dict[int, dict[str, list[float]]] = {}  # by the number of the batch
        starts = range(0, len(dataset), batch_size)
        for number in range(processes.rank(), len(starts), processes.count()):
            stop = min(starts[number] + batch_size, len(dataset))
            examples = [dataset[index] for index in range(starts[number], stop)]
            batch = job.collate(examples=examples, padding_free=padding_free)
            found = log_probs(model, moved(batch, _device_of(model)))
            own[number] = {name: values.tolist() for name, values in found.items()}
        return WithColumns(dataset, _joined(processes.gathered(own)))

    processes.join(use_cpu)
    with _on_accelerator(model, use_cpu), torch.no_grad(), without_dropout(model):
        device = _device_of(model).type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=job.precision == "bf16"):
            padding_free = padding_free and takes_concatenated(model, announced=False)
            data = DatasetSplits(
                extended(job.data.train), {name: extended(dataset) for name, dataset in job.data.eval.items()}
            )
    return replace(job, data=data)


def _joined(shares: Iterable[Mapping[int, Mapping[str, list[float]]]]) -> dict[str, list[float]]:
    """The columns of all batches, by their numbers, from the shares of all processes."""
    every = {number: columns for share in shares for number, columns in share.items()}
    joined: dict[str, list[float]] = {}
    for number in sorted(every):
        for name, values in every[number].items():
            joined.setdefault(name, []).extend(values)
    return joined


def _device_of(model: Any) -> torch.device:
    device: torch.device = model.get_input_embeddings().weight.device
    return device


@contextmanager
def _on_accelerator(model: Any, use_cpu: bool) -> Iterator[None]:
    """Have a model that waits on the CPU on the accelerator for the time of the block; the trainer moves it itself."""
    moves = not use_cpu and torch.accelerator.is_available() and _device_of(model).type == "cpu"
    if moves:
        model.to(torch.accelerator.current_accelerator())
    try:
        yield
    finally:
        if moves:
            model.to("cpu")


def moved(batch: Any, device: torch.device) -> Any:
    """The tensors of a batch, and of mappings in it, on a device."""
    if isinstance(batch, Mapping):
        return {name: moved(value, device) for name, value in batch.items()}
    return batch.to(device) if isinstance(batch, torch.Tensor) else batch
