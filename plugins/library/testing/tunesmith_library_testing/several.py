"""Runs of several processes, to be compared with the same runs of one: `trained(configs, folder, processes=2)`.

All runs of a test share one start of the processes, which costs more than they do.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_library_testing.parts import logged

OPTIONS: dict[str, Any] = {
    "max_steps": 3,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "optim": "adamw_torch",
    "logging_steps": 1,
    "save_strategy": "no",
    "use_cpu": True,
}
"""Of the trainer: three steps, of which each is logged."""


@dataclass(frozen=True)
class Trained:
    """What a run left."""

    folder: Path
    losses: list[float]  # of each logged step
    weights: dict[str, Any]  # of the whole model, with an adapter merged into it


def config_of(
    model: Path, folder: Path, name: str, *, stage: str = "sft", adapter: str = "full", rows: int = 24, **trainer: Any
) -> dict[str, Any]:
    """A run over answers of very different lengths, so that shares count different tokens; no dropout, fp32.

    Args:
        folder: of the data, and of the run.
        name: of the run's folder.
        stage: sft, or dpo, which has pairs.
        adapter: full, or lora, whose first matrices are drawn alike on all processes.
        trainer: options over `OPTIONS`.
    """
    file = folder / f"{stage}-{rows}.json"
    if not file.is_file():
        file.write_text(json.dumps([_row(number, stage) for number in range(rows)]))
    chosen: Any = {"name": "lora", "rank": 4, "dropout": 0.0} if adapter == "lora" else adapter
    return {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": [str(file)], "cache": False},
        "stage": stage,
        "adapter": chosen,
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(folder / name),
        "trainer": {**OPTIONS, **trainer},
    }


def _row(number: int, stage: str) -> dict[str, str]:
    answer = f"The tide turns {number} times. " * (1 + number % 5)
    row = {"instruction": f"Say {number}."}
    return (
        {**row, "chosen": answer, "rejected": f"Nothing turns, {number}."}
        if stage == "dpo"
        else {**row, "output": answer}
    )


def trained(
    configs: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    processes: int = 1,
    parallel: Mapping[str, Any] | str = "ddp",
    seconds: float = 300,
) -> dict[str, Trained]:
    """Train one configuration after the other, all of them in the same processes.

    Args:
        configs: of `config_of`, or any others with `output_dir`.
        folder: for what the processes say.
        processes: 1 trains here, without `parallel`.
        parallel: the plugin, with its options; each process is one of those that it would have started. A configuration
            may have further options of it under `parallel`.
        seconds: after which the processes are killed.

    Returns: by the names of the configurations.
    Raises: AssertionError with what the processes said, when one fails or takes too long.
    """
    if processes == 1:
        _train([dict(config) for config in configs.values()])
    else:
        chosen = {"name": parallel} if isinstance(parallel, str) else dict(parallel)
        several = {"processes": processes, **chosen}
        asked = [{**config, "parallel": {**several, **config.get("parallel", {})}} for config in configs.values()]
        _start(asked, folder, processes, seconds)
    return {name: _read(config) for name, config in configs.items()}


def alike(one: Trained, other: Trained, *, relative: float = 1e-5, absolute: float = 2e-5) -> None:
    """Assert that two runs logged the same losses, and ended with the same weights.

    Args:
        relative: by how much a loss may differ.
        absolute: by how much a weight may; optimizers like Adam make much of little where a gradient is near 0.
    """
    import pytest

    assert other.losses and other.losses == pytest.approx(one.losses, rel=relative)
    assert other.weights.keys() == one.weights.keys()
    off = {name: float((other.weights[name] - weight).abs().max()) for name, weight in one.weights.items()}
    assert max(off.values()) <= absolute, max(off, key=lambda name: off[name])


def _start(configs: Sequence[Mapping[str, Any]], folder: Path, count: int, seconds: float) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared |= {"OMP_NUM_THREADS": 1, "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "tunesmith_library_testing.several", json.dumps(configs)]
    started, files = [], [folder / f"said-{rank}" for rank in range(count)]
    try:
        for rank, said in enumerate(files):
            own = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            with said.open("wb") as file:
                environment = {**os.environ, **own}
                started.append(subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT))
        codes = [process.wait(timeout=seconds) for process in started]
    except subprocess.TimeoutExpired:
        codes = [-1]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert not any(codes), "\n".join(f"--- rank {rank}\n{said.read_text()}" for rank, said in enumerate(files))


def _train(configs: Sequence[dict[str, Any]]) -> None:
    import tunesmith

    for config in configs:
        with _forgotten():
            tunesmith.train(config)


@contextlib.contextmanager
def _forgotten() -> Iterator[None]:
    """Let a run leave nothing to the next one of this process but the group of the processes."""
    from accelerate.state import AcceleratorState, PartialState
    from tunesmith_library_training import processes

    environment = dict(os.environ)
    try:
        yield
    finally:
        AcceleratorState._reset_state()
        PartialState._reset_state()
        os.environ.clear()
        os.environ.update(environment)
        processes.alike(1)
        gc.collect()


def _read(config: Mapping[str, Any]) -> Trained:
    from safetensors.torch import load_file

    folder = Path(config["output_dir"])
    if (folder / "adapter_config.json").is_file():
        weights = _merged(folder, Path(config["model"]["path"]))
    else:
        weights = {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
    return Trained(folder, logged(folder), weights)


def _merged(adapter: Path, base: Path) -> dict[str, Any]:
    from peft import PeftModel

    from tunesmith_library_testing.parts import load_plain

    return dict(PeftModel.from_pretrained(load_plain(base), adapter).merge_and_unload().state_dict())


if __name__ == "__main__":
    _train(json.loads(sys.argv[1]))
