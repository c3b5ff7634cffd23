"""What a run does for a GPU changes none of its numbers: batches that a thread makes ahead, and compiled layers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from short_runs import bits, cut_short, trained
from test_resume import configuration

torch = pytest.importorskip("torch")


def train(case: str, model: Path, folder: Path, data: Path, **trainer: Any) -> Path:
    import tunesmith

    data.mkdir(exist_ok=True)
    config = configuration(case, model, data)
    config["trainer"] |= {"save_strategy": "no", **trainer}
    return tunesmith.train(None, {**config, "adapter": "full", "tracker": [], "output_dir": str(folder)})


def by_a_thread(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have a thread make batches on the CPU too; gives what makes them, of each run."""
    from tunesmith_trainer_transformers.loop import Loop

    begin, threads = Loop.__init__, list[Any]()

    def beginning(self: Any, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        self.ahead.begin()
        threads.append(self.ahead)

    monkeypatch.setattr(Loop, "__init__", beginning)
    return threads


@pytest.mark.parametrize("accumulation", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_batches_that_are_made_ahead(
    accumulation: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More steps than an epoch has: bit for bit the weights of a run that makes each batch when it is asked for."""
    options = {"max_steps": 4, "per_device_train_batch_size": 8, "gradient_accumulation_steps": accumulation}
    plain = train("sft", tiny_llama, tmp_path / "plain", tmp_path / "data", **options)
    threads = by_a_thread(monkeypatch)
    ahead = train("sft", tiny_llama, tmp_path / "ahead", tmp_path / "data", **options)
    assert bits(plain) == bits(ahead)
    assert len(threads) == 1 and threads[0]._thread is None, "the thread has ended with the run"


@pytest.mark.slow
def test_batches_made_ahead_of_an_interruption_are_made_again(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run learns from them once, as one that was not interrupted, and that makes none ahead."""
    config = configuration("sft", tiny_llama, tmp_path)
    whole = trained(config, tmp_path / "whole")
    threads = by_a_thread(monkeypatch)
    rest = trained(config, cut_short(config, tmp_path / "rest"), resume=True)
    assert bits(rest) == bits(whole) and len(threads) == 2


def test_the_next_step_is_begun_and_errors_come_in_their_turn() -> None:
    from tunesmith_trainer_transformers.ahead import Ahead

    asked: list[int] = []

    def make(epoch: Iterator[int], count: int) -> Any:
        batches = [{"input_ids": torch.tensor([number])} for number, _ in zip(epoch, range(count), strict=False)]
        asked.append(len(batches))
        return batches, batches, "" if len(asked) != 2 else "row 7"

    ahead = Ahead(make, torch.device("cpu"))
    ahead.begin()
    epoch = iter(range(5))
    first, _, wrong = ahead.take(epoch, 2)
    assert [int(batch["input_ids"]) for batch in first] == [0, 1] and not wrong
    assert ahead.take(epoch, 2)[2] == "row 7"
    assert len(asked) >= 2
    other = iter(range(1))
    assert len(ahead.take(other, 2)[0]) == 1, "another epoch has another iterator"
    ahead.end()
    assert asked[0] == 2


@pytest.mark.slow
def test_a_compiled_run(tiny_llama: Path, tmp_path: Path) -> None:
    """The weights are those of layers that are not compiled, and are saved under the same names."""
    from safetensors.torch import load_file

    torch._dynamo.reset()
    folders = [
        train(
            "sft",
            tiny_llama,
            tmp_path / str(on),
            tmp_path / "data",
            torch_compile=on,
            torch_compile_backend="aot_eager",
        )
        for on in (False, True)
    ]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    torch._dynamo.reset()
    plain, compiled = (load_file(folder / "model.safetensors") for folder in folders)
    assert plain.keys() == compiled.keys()
    for name, weight in plain.items():
        assert (weight - compiled[name]).abs().max() <= 1e-5 * weight.abs().max(), name
