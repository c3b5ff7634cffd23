"""A step in which memory runs out is made again in smaller passes; injected with the errors that allocators raise."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError
from tunesmith.traits import StageTraits
from tunesmith.types import DatasetSplits, Evaluated, StepEnded
from tunesmith_library_testing.jobs import Shared, difference, drawn, make_job, saved_weights
from tunesmith_library_testing.parts import StubPlan, compute_loss
from tunesmith_trainer_transformers import Transformers

OPTIONS: dict[str, Any] = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "logging_steps": 1,
    "warmup_steps": 0,
    "merge_accumulation": False,
}

KINDS = {
    "cuda": lambda: _torch().OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you"
    ),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "host": lambda: MemoryError(),
}


def _torch() -> Any:
    import torch

    return torch


class Additive:
    traits: ClassVar[StageTraits] = StageTraits(additive=True)

    def compute_loss(self) -> None: ...


def trainer(**options: Any) -> Transformers:
    made = Transformers(**{**OPTIONS, **options})
    made.configured(StubPlan({"stage": {"mine": Additive()}, "trainer": {"transformers": made}}))
    return made


class Short:
    """A loss for which there is memory for so many sequences, of those batches that have a gradient or all."""

    def __init__(self, most: int, kind: str = "cuda", *, backward: bool = False, from_call: int = 0) -> None:
        self.most, self.kind, self.backward, self.from_call = most, kind, backward, from_call
        self.sizes: list[int] = []

    def __call__(self, model: Any, batch: dict[str, Any]) -> Any:
        bounds = batch.get("cu_seq_lens_q")
        size = len(batch["input_ids"]) if bounds is None else len(bounds) - 1
        self.sizes.append(size)
        fails = size > self.most and len(self.sizes) > self.from_call
        if fails and not self.backward:
            raise KINDS[self.kind]()
        output = compute_loss(model, batch)
        if fails:
            output.loss.register_hook(self._fail)
        return output

    def _fail(self, gradient: Any) -> None:
        raise KINDS[self.kind]()


def losses(events: list[Any]) -> list[float]:
    return [event.metrics["loss"] for event in events if isinstance(event, StepEnded)]


def trained(model: Path, folder: Path, options: Transformers, **changes: Any) -> list[float]:
    job, events = make_job(model, folder, **changes)
    assert options.fit(job=job)
    return losses(events)


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], dict[str, Any]]:
    """The losses and the weights of a run that had enough."""
    folder = tmp_path_factory.mktemp("whole")
    return trained(tiny_llama, folder, trainer()), saved_weights(folder)


@pytest.mark.parametrize("kind", [pytest.param("cuda", marks=pytest.mark.slow), "cpu"])
def test_memory_that_runs_out_changes_no_number(
    kind: str, whole: Any, tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected, weights = whole
    short = Short(2, kind, backward=kind == "cpu", from_call=1)
    with caplog.at_level(logging.WARNING):
        found = trained(tiny_llama, tmp_path, trainer(), compute_loss=short)
    assert found == pytest.approx(expected, rel=1e-6)
    assert difference(weights, saved_weights(tmp_path)) < 1e-6
    said = [record.getMessage() for record in caplog.records if "no memory left" in record.getMessage()]
    assert len(said) == 1 and "up to 2 examples from here on, in place of 4" in said[0]
    assert max(short.sizes[3:]) == 2, "and no later pass is larger"


@pytest.mark.slow
def test_memory_that_runs_out_twice(whole: Any, tiny_llama: Path, tmp_path: Path) -> None:
    assert trained(tiny_llama, tmp_path, trainer(), compute_loss=Short(1)) == pytest.approx(whole[0], rel=1e-6)


def test_memory_that_runs_out_in_merged_passes(whole: Any, tiny_llama: Path, tmp_path: Path) -> None:
    short = Short(3, from_call=2)
    merged = trained(tiny_llama, tmp_path, trainer(merge_accumulation=True), compute_loss=short)
    assert merged == pytest.approx(whole[0], rel=1e-6)
    assert max(short.sizes[:2]) > 4, "they were merged"


@pytest.mark.slow
def test_memory_that_runs_out_of_a_stream_and_of_padded_batches(tiny_llama: Path, tmp_path: Path) -> None:
    def run(folder: str, loss: Callable[..., Any]) -> list[float]:
        data = DatasetSplits(train=Shared())
        options = trainer(padding_free=False, max_steps=2)
        return trained(tiny_llama, tmp_path / folder, options, compute_loss=loss, data=data)

    assert run("short", Short(1, from_call=1)) == pytest.approx(run("whole", compute_loss), rel=1e-6)


@pytest.mark.slow
def test_a_resumed_run_keeps_what_memory_held(tiny_llama: Path, tmp_path: Path) -> None:
    expected = trained(tiny_llama, tmp_path / "expected", trainer(lr_scheduler_type="constant"))
    options = trainer(lr_scheduler_type="constant", save_steps=1, max_steps=2)
    trained(tiny_llama, tmp_path / "run", options, compute_loss=Short(1))
    short = Short(1)
    resumed = trainer(lr_scheduler_type="constant", save_steps=1)
    found = trained(tiny_llama, tmp_path / "run", resumed, compute_loss=short, resume=True)
    assert max(short.sizes) == 1, "nothing larger is tried again"
    assert found == pytest.approx(expected[2:], rel=1e-6)


@pytest.mark.slow
def test_a_single_example_that_is_too_large_has_its_activations_computed_again(
    whole: Any, tiny_llama: Path, tmp_path: Path
) -> None:

    def loss(model: Any, batch: dict[str, Any]) -> Any:
        if not model.is_activation_checkpointing:
            raise KINDS["cuda"]()
        return compute_loss(model, batch)

    options = trainer(gradient_checkpointing=False)
    assert trained(tiny_llama, tmp_path, options, compute_loss=loss) == pytest.approx(whole[0], rel=1e-6)


def test_a_run_that_cannot_go_on_says_what_to_type(tiny_llama: Path, tmp_path: Path) -> None:
    job, _ = make_job(tiny_llama, tmp_path / "run", compute_loss=Short(0, from_call=4))
    with pytest.raises(TunesmithError, match="with activations computed again") as raised:
        trainer(save_steps=1, gradient_checkpointing=True).fit(job=job)
    words = f"go on after checkpoint-2 with less: tunesmith train {tmp_path / 'run'} resume=true CHANGE\n"
    assert words in str(raised.value), "examples and activations are as few as can be: the plan knows more"


def test_a_loss_of_a_batch_as_a_whole_is_not_cut(tiny_llama: Path, tmp_path: Path) -> None:
    options = trainer()
    options._not_additive = "stage=mine does not say that its loss is the sum of its examples' own"
    job, _ = make_job(tiny_llama, tmp_path, compute_loss=Short(2))
    with pytest.raises(TunesmithError, match=r"(?s)the sum of its examples' own.*per_device_train_batch_size=2"):
        options.fit(job=job)


@pytest.mark.slow
def test_an_evaluation_for_which_there_is_no_memory_has_smaller_batches(tiny_llama: Path, tmp_path: Path) -> None:
    def means(folder: str, loss: Callable[..., Any]) -> list[float]:
        data = DatasetSplits(train=drawn(4), eval={"held": drawn(9, seed=1)})
        job, events = make_job(tiny_llama, tmp_path / folder, compute_loss=loss, data=data)
        assert trainer(max_steps=1, gradient_accumulation_steps=1).fit(job=job)
        return [event.metrics["eval_loss"] for event in events if isinstance(event, Evaluated)]

    expected = means("whole", compute_loss)
    short = Short(4)
    assert means("short", short) == pytest.approx(expected, rel=1e-6) and expected
    assert short.sizes == [4, 8, 4, 4, 1], "after the step: 8 were too many, and 9 are as many as that"


def test_other_errors_are_no_shortage() -> None:
    from tunesmith_trainer_transformers.shortage import is_shortage

    assert all(is_shortage(kind()) for kind in KINDS.values())
    assert not is_shortage(RuntimeError("shapes do not fit")) and not is_shortage(ValueError("out of memory"))


_REAL = """
import resource, sys
from pathlib import Path
import torch
from tunesmith_library_testing.jobs import make_job
from tunesmith_library_testing.parts import compute_loss
from test_trainer_transformers_recovering import losses, trainer

torch.set_num_threads(1)
sizes = []

def loss(model, batch):
    sizes.append(len(batch["cu_seq_lens_q"]) - 1)
    if len(sizes) == 3:  # everything is imported, and 200 MiB are left
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
    torch.empty(sizes[-1], 100, 2**20, dtype=torch.uint8)  # 100 MiB for each example
    return compute_loss(model, batch)

job, events = make_job(Path(sys.argv[1]), Path(sys.argv[2]), compute_loss=loss)
assert trainer().fit(job=job)
print(*losses(events), sizes[0], max(sizes[-4:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell what is used")
def test_a_real_allocator_that_has_no_memory(whole: Any, tiny_llama: Path, tmp_path: Path) -> None:
    """The limit of the address space makes torch's own allocator fail, in a process of its own."""
    command = [sys.executable, "-c", _REAL, str(tiny_llama), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    *found, largest, fewer = map(float, done.stdout.splitlines()[-1].split())
    assert found == pytest.approx(whole[0], rel=1e-6)
    assert largest == 4 and fewer <= 2
