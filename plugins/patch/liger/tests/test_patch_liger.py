"""What can be said of Liger without a GPU; its kernels run in Triton's interpreter, in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import StubPlan, load_plain, source_of
from tunesmith_patch_liger import Liger
from tunesmith_patch_liger.layers import choose, patch_layers, require_device

KERNELS = {"rope": True, "rms_norm": True, "swiglu": True}


def run_interpreted(*arguments: str) -> int:
    """Run the tests beside this file in Triton's interpreter: how many passed.

    `TRITON_INTERPRET` must stand before Triton is imported, and what Liger patches stays patched: a process of its own.
    """
    file = Path(__file__).with_name("test_patch_liger_kernels.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(file)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:]
    assert "skipped" not in done.stdout
    return int(re.search(r"(\d+) passed", done.stdout)[1])


@pytest.mark.slow
def test_kernels_in_the_interpreter() -> None:
    assert run_interpreted("-m", "not gpu and not slow") >= 30


@pytest.mark.slow
def test_a_run_in_the_interpreter() -> None:
    assert run_interpreted("-m", "slow") == 1


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def test_needs_a_gpu(without_gpu: None, tiny_llama: Path) -> None:
    """The error comes before the data is read."""
    wrapper = Liger().load_processor(source=source_of(tiny_llama))
    next(wrapper)
    with pytest.raises(TunesmithError, match=r"need a GPU .*torch finds no GPU here.\n  leave patch.liger out"):
        wrapper.send("the tokenizer")


def test_other_accelerators_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    with pytest.raises(TunesmithError, match="torch finds mps here"):
        require_device()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    require_device()


def test_chat_and_export_are_not_patched(without_gpu: None, tiny_llama: Path) -> None:
    source = source_of(tiny_llama, training=False)
    for wrapper in (Liger().load_processor(source=source), Liger().load_model(source=source)):
        next(wrapper)
        with pytest.raises(StopIteration) as ended:
            wrapper.send("what was loaded")
        assert ended.value.value == "what was loaded"


def test_unknown_model_type(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tunesmith_library_testing.tiny import save_tiny_model

    model = load_plain(save_tiny_model(tmp_path / "m", architecture="gpt2", n_embd=64, n_layer=2, n_head=4))
    with pytest.raises(TunesmithError, match=r"no kernels for the layers of gpt2.\n  it has them for: .*"):
        patch_layers(model, KERNELS, loss=False)
    patch_layers(model, KERNELS, loss=True)
    (record,) = [each for each in caplog.records if each.name == "tunesmith"]
    assert "no kernels for the layers of gpt2; only the loss is its" in record.message


def test_liger_that_does_not_fit(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Liger reaches into transformers' modules, which move between versions."""
    from liger_kernel.transformers import monkey_patch

    def apply(rope: bool = True, model: Any = None) -> None:
        raise AttributeError("module has no attribute 'LlamaRMSNorm'")

    monkeypatch.setitem(monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN, "llama", apply)
    with pytest.raises(TunesmithError, match=r"do not fit together for llama: module has no attribute 'LlamaRMSNorm'"):
        patch_layers(load_plain(tiny_llama), KERNELS, loss=True)


def test_choice_of_kernels() -> None:
    """On is what both Liger and the user want; its own losses never are."""

    def apply(
        rope: bool = False,
        cross_entropy: bool = False,
        fused_linear_cross_entropy: bool = True,
        rms_norm: bool = True,
        geglu: bool = True,
        model: Any = None,
    ) -> None: ...

    kernels = {"rope": True, "rms_norm": True, "swiglu": True, "geglu": False}
    off = {"cross_entropy": False, "fused_linear_cross_entropy": False}
    assert choose(apply, kernels) == {"rope": False, "rms_norm": True, "geglu": False, **off}


def test_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Liger().check(plan=StubPlan({})) == []
    none = dict.fromkeys(Liger().kernels(), False)
    (problem,) = Liger(**none, fused_linear_cross_entropy=False).check(plan=StubPlan({}))
    assert problem.key == "patch.liger" and problem.severity == "error"
    assert Liger().check(plan=StubPlan({}, values={"trainer.torch_compile": True})) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = Liger().check(plan=StubPlan({}))
    assert "liger-kernel, which is not installed" in problem.message and problem.severity == "error"
    assert Liger().check(plan=StubPlan({}, command="export")) == []
