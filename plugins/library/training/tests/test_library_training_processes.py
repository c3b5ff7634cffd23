"""What the processes of a run know of each other and do together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith_library_training import processes


def test_processes_that_see_the_same_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tunesmith")
    processes.tell(8)
    assert not caplog.text, "a run of one process is not told of"
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "_alike", 2)
    processes.tell(8, "prompts", "fsdp")
    assert "processes: 2 (fsdp; a step has 8 prompts that all compute together)" in caplog.text


def test_alone_nothing_is_asked_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    processes.join(use_cpu=True)
    assert not torch.distributed.is_initialized() and processes.numbers_group() is None
    assert (processes.count(), processes.rank(), processes.local_rank(), processes.is_main()) == (1, 0, 0, True)
    assert processes.gathered("a") == ["a"] and processes.summed([1.5, 2]) == [1.5, 2]
    values = torch.ones(2, requires_grad=True)
    assert processes.total(values) is values and processes.any_of(True) and not processes.any_of(False)
    processes.add_gradients([values])
    assert values.grad is None


def test_before_they_have_met_the_launcher_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (processes.count(), processes.rank(), processes.local_rank(), processes.is_main()) == (8, 5, 1, False)


def test_asking_does_not_import_torch() -> None:
    """Plugins ask in `check`, before anything heavy is imported."""
    code = (
        "import sys; from tunesmith_library_training import processes; "
        "print(processes.count(), processes.is_main(), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]


def test_groups_end_after_the_models_that_hold_them_from_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that ends with a wrapped model keeps Python's lock, for which its own thread waits: a hang at exit."""

    class Group:
        pass

    world, made, order = Group(), Group(), []
    alive = [weakref.ref(world), weakref.ref(made)]
    fake = SimpleNamespace(
        group=SimpleNamespace(WORLD=world),
        is_available=lambda: True,
        is_initialized=lambda: True,
        destroy_process_group=lambda: (order.append("left"), delattr(fake.group, "WORLD")),
    )
    monkeypatch.setattr(processes, "_group", lambda: fake)
    monkeypatch.setattr(processes, "_made", [made])
    monkeypatch.setattr(processes.gc, "collect", lambda: order.append([reference() is not None for reference in alive]))
    del world, made
    processes._leave()
    assert order == [[True, True], "left"]
    assert [reference() for reference in alive] == [None, None]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two processes that run this file as a program found."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", __file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(folder)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_add_up(told: list[dict[str, Any]]) -> None:
    for found in told:
        assert found["gathered"] == [[0, "a"], [1, "a"]] and found["count"] == 2
        assert found["summed"] == found["in_default_group"] == [1.0, 4.0]
        assert found["any"] == [True, False]
        assert found["total"] == [1.0, 3.0]
        assert found["gradients"] == [[3.0], [5.0]], "the second weight has a gradient on one process only"
        assert found["alike"] == [7.0]
    assert [found["is_main"] for found in told] == [True, False]


def main(folder: Path) -> None:
    """The program of each process."""
    processes.join(use_cpu=True)
    rank, group = processes.rank(), processes.numbers_group()
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    weights[0].grad = torch.full((1,), 1.0 + rank)
    if rank == 1:
        weights[1].grad = torch.full((1,), 5.0)
    processes.add_gradients(weights)
    start = torch.full((1,), 7.0 + rank)
    processes.start_alike([start])
    processes.wait()
    found = {
        "count": processes.count(),
        "is_main": processes.is_main(),
        "gathered": processes.gathered([rank, "a"], group),
        "summed": processes.summed([float(rank), 2], group),
        "in_default_group": processes.summed([float(rank), 2]),
        "any": [processes.any_of(rank == 1), processes.any_of(False)],
        "total": processes.total(torch.tensor([float(rank), 1.0 + rank])).tolist(),
        "gradients": [weight.grad.tolist() for weight in weights],
        "alike": start.tolist(),
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
