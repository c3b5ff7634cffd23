"""Norms in fp32 and logits in fp32: which are reached, what they compute, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import hookimpl
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, source_of
from tunesmith_patch_upcast import Upcast
from tunesmith_patch_upcast.layers import upcast_norms


class TestUpcast(PatchSuite):
    plugin = Upcast


class Narrow:
    """An adapter that holds every weight in bf16 and trains it."""

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: Any) -> Any:
        return model.bfloat16().requires_grad_()


def patched(folder: Path, *, training: bool = True, **options: Any) -> Any:
    hook = TestUpcast().manager(Narrow(), **options).hook
    source = source_of(folder, precision="bf16", training=training)
    return hook.apply_adapter(model=load_plain(folder, "bfloat16"), trained=None, source=source)


def in_fp32(model: Any) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.dtype == torch.float32}


def test_norms_alone_are_held_in_fp32(tiny_llama: Path) -> None:
    """Those by whose names LLaMA-Factory goes: of one dimension, with `norm` or `ln` in the name."""
    model = patched(tiny_llama)
    expected = {
        name
        for name, weight in model.named_parameters()
        if weight.ndim == 1 and any(part in name for part in ("norm", "ln"))
    }
    assert in_fp32(model) == expected and len(expected) == 2 * model.config.num_hidden_layers + 1
    assert not in_fp32(patched(tiny_llama, training=False)), "a model that is asked or exported is as it was saved"
    for name, weight in model.named_parameters():
        torch.testing.assert_close(
            weight.detach().bfloat16(), load_plain(tiny_llama, "bfloat16").get_parameter(name), rtol=0, atol=0
        )


def test_a_norm_is_not_rounded_to_16_bits(tiny_llama: Path) -> None:
    """RMS norm (Zhang & Sennrich 2019): w · x / √(mean x² + ε); x̂ in bf16 as it comes, the product in fp32."""
    model = patched(tiny_llama)
    norm = model.model.norm
    generator = torch.Generator().manual_seed(0)
    norm.weight.data = torch.rand(norm.weight.shape, generator=generator) + 0.5
    hidden = torch.randn(1, 5, model.config.hidden_size, generator=generator).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(hidden)
    wide = hidden.double()
    scaled = wide / (wide.square().mean(-1, keepdim=True) + model.config.rms_norm_eps).sqrt()
    rounded = scaled.bfloat16().double() * norm.weight.double()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), rounded, rtol=1e-6, atol=1e-7)
    assert (found.bfloat16().double() - rounded).abs().max() > 1e-3, "what bf16 would lose is there to be lost"


def test_small_steps_of_norms_count(tiny_llama: Path) -> None:
    """A weight of 1 in bf16 has 8 bits: a step of 1e-3 is lost; in fp32 it is made."""
    for options, moved in (({}, True), ({"norms": False, "logits": True}, False)):
        model = patched(tiny_llama, **options).train()
        weight = model.model.norm.weight
        before = weight.detach().clone()
        with torch.autocast("cpu", torch.bfloat16):
            model(input_ids=torch.arange(5, 15)[None]).logits.float().square().sum().backward()
        assert weight.grad is not None and bool(weight.grad.any())
        with torch.no_grad():
            weight -= 1e-3 * weight.grad.sign()
        assert bool((weight != before).any()) is moved


def test_every_kind_of_norm_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """By class or by name, biases too; a norm without weights, a matrix and a bias of a linear layer are none."""

    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4))

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1 = Scale()
            self.first = torch.nn.LayerNorm(4)
            self.plain = torch.nn.LayerNorm(4, elementwise_affine=False)
            self.q_norm = Scale()
            self.projection = torch.nn.Linear(4, 4)

    caplog.set_level("INFO", logger="tunesmith")
    model = Model().bfloat16()
    model.q_norm.float()
    assert upcast_norms(model) == 3
    assert in_fp32(model) == {"ln_1.weight", "first.weight", "first.bias", "q_norm.weight"}
    assert "2 of 3 made fp32 (3 tensors, 12 numbers); 1 were fp32 already" in caplog.text
    assert upcast_norms(model) == 0
    assert "all 3 are fp32 already" in caplog.text
    assert upcast_norms(torch.nn.Linear(2, 2)) == 0
    assert "Linear has no norms with weights" in caplog.text


def test_logits_are_fp32(tiny_llama: Path) -> None:
    """Those that the layer computes in bf16, in fp32; whatever comes after them has fp32 to compute with."""
    ids = torch.arange(5, 15)[None]
    plain, wide = (patched(tiny_llama, norms=False, logits=chosen or False) for chosen in (False, True))
    with torch.no_grad():
        narrow, found = plain(input_ids=ids).logits, wide(input_ids=ids).logits
    assert (narrow.dtype, found.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(found, narrow.float(), rtol=0, atol=0)


def test_check() -> None:
    assert Upcast().check(plan=StubPlan({})) == []
    (problem,) = Upcast(norms=False).check(plan=StubPlan({}))
    assert problem.key == "patch.upcast"
    assert Upcast(norms=False).check(plan=StubPlan({}, command="chat")) == []
