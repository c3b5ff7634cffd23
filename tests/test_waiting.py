"""A step gives a GPU its work and does not wait for it, but where it is logged: the host is ahead of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_resume import configuration

torch = pytest.importorskip("torch")

STEPS, LOGGED = 5, 4
FULL = {"adapter": "full"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft-lora": ("sft", {}),
    "sft-full": ("sft", FULL),
    "sft-merged": ("sft", {"trainer.gradient_accumulation_steps": 2}),
    "dpo-lora": ("dpo", {}),
    "dpo-full": ("dpo", FULL),
    "kto": ("kto", {}),
    "simpo": ("simpo", {}),
    "orpo": ("orpo", {}),
    "reward": ("reward", {}),
}
QUICK = ("sft-lora", "dpo-lora")


def watched(begin: Callable[[], None], end: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every step but the first, in which kernels are chosen, from its batches on until it is logged."""
    import tunesmith_trainer_transformers.loop as loop
    from tunesmith_library_training.finite import Guard

    make = loop.Loop.get_batch_samples
    made = []

    def batches(*arguments: Any) -> Any:
        end()
        made.append(make(*arguments))
        if len(made) > 1:
            begin()
        return made[-1]

    def ending(function: Callable[..., Any]) -> Callable[..., Any]:
        def ended(*arguments: Any) -> Any:
            end()
            return function(*arguments)

        return ended

    monkeypatch.setattr(loop.Loop, "get_batch_samples", batches)
    monkeypatch.setattr(loop.Loop, "log", ending(loop.Loop.log))
    monkeypatch.setattr(Guard, "check", ending(Guard.check))  # which is asked where a step is logged


def train(case: str, model: Path, folder: Path, **more: Any) -> None:
    import tunesmith

    name, options = CASES[case]
    config = configuration(name, model, folder)
    config["trainer"] |= {"max_steps": STEPS, "logging_steps": LOGGED, "save_strategy": "no"}
    tunesmith.train(None, {**config, "tracker": [], "output_dir": str(folder / "out"), **options, **more})


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_no_step_waits(case: str, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the operations that a step of a run calls on the CPU none would wait for another device."""
    from tunesmith_library_testing.waiting import Waits

    waits = Waits()
    watched(waits.begin, waits.end, monkeypatch)
    try:
        train(case, tiny_llama, tmp_path)
    finally:
        waits.end()
    assert not [*dict.fromkeys(waits.found)]


@pytest.mark.gpu
@pytest.mark.parametrize("case", ["sft-lora", "sft-full", "sft-merged", "dpo-lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu(
    case: str, precision: str, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch itself stops a step that waits for the GPU, between the fetching of its batches and its log."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    watched(
        lambda: torch.cuda.set_sync_debug_mode("error"),
        lambda: torch.cuda.set_sync_debug_mode("default"),
        monkeypatch,
    )
    try:
        train(case, tiny_llama, tmp_path, precision=precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
