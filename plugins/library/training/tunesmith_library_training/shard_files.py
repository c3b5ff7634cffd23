"""Tensors of which each process writes its part: torch.distributed.checkpoint, as safetensors, with nothing pickled.

They are read by any number of processes, spread in any way, or whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError

from tunesmith_library_training import processes


def write(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write this process's parts. All processes call it.

    Args:
        folder: the same for all; is made.
        tensors: by names that are the same on all; those that are not spread are written by one process.

    Raises: OSError when a disk does not take them, on all processes.
    """
    from torch.distributed.checkpoint.state_dict_saver import save

    folder.mkdir(parents=True, exist_ok=True)
    with _causes(), _quietly():
        save(dict(tensors), storage_writer=_writer()(str(folder), save_distributed=True))


def write_later(folder: Path, tensors: Mapping[str, torch.Tensor]) -> Callable[[], None]:
    """Copy this process's parts to the host's memory, and write them while it goes on. All processes call it.

    Returns: what waits until all have written theirs, and raises what `write` does.
    """
    from torch.distributed.checkpoint.state_dict_saver import async_save

    folder.mkdir(parents=True, exist_ok=True)
    writer = _writer()(str(folder), save_distributed=True)
    future: Any = async_save(dict(tensors), storage_writer=writer, process_group=processes.numbers_group())

    def finish() -> None:
        with _causes():
            future.result()

    return finish


def read(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Fill tensors, each with this process's part of it. All processes call it.

    Raises: TunesmithError when one is not in the folder, or has another shape there.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    known: dict[str, Any] = reader.read_metadata().state_dict_metadata
    for name, tensor in tensors.items():
        found = known.get(name)
        if found is None or tuple(found.size) != tuple(tensor.shape):
            told = "is not in it" if found is None else f"has the shape {tuple(found.size)} in it"
            raise TunesmithError(f"{folder}: {name} {told}, and {tuple(tensor.shape)} is wanted")
    with _quietly():
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)))


def _writer() -> Any:
    """Raises: TunesmithError when the installed torch cannot write parts as safetensors."""
    try:
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    except ImportError as error:
        raise TunesmithError(
            f"parallel.checkpoints=sharded: torch {torch.__version__} does not write parts as safetensors.\n"
            "  pip install --upgrade torch, or parallel.checkpoints=whole"
        ) from error
    return HuggingFaceStorageWriter


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's warning that one process is all there is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


@contextmanager
def _causes() -> Iterator[None]:
    """Raise what went wrong on the first process where something did, in place of the list of all."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        cause, _ = next(iter(error.failures.values()))
        raise cause from error
