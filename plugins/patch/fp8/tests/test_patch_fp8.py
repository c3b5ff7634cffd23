"""FP8 products: their numbers against rounding that is written out, which layers have them, where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from tunesmith import TunesmithError, hookimpl
from tunesmith.traits import AdapterTraits
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, logits_of, source_of
from tunesmith_patch_fp8 import Fp8
from tunesmith_patch_fp8.layers import convert, require_device


class TestFp8(PatchSuite):
    plugin = Fp8
    options: ClassVar = {"emulate": True}


def rounded(values: torch.Tensor, dim: int) -> torch.Tensor:
    """Values as FP8 holds them (E4M3: 4 bits of exponent, 3 of mantissa, at most 448), with a power of 2 as scale of
    what is along `dim`, in float64."""
    wide = values.double()
    scale = 2.0 ** torch.floor(torch.log2(448 / wide.abs().amax(dim, keepdim=True)))
    exponent = torch.floor(torch.log2((wide * scale).abs().clamp(min=2.0**-30))).clamp(min=-6)
    step = 2.0 ** (exponent - 3)
    return ((wide * scale / step).round() * step).clamp(-448, 448) / scale


@pytest.mark.parametrize("recipe", ["rowwise", "rowwise_with_gw_hp"])
def test_products_are_of_rounded_numbers(recipe: str) -> None:
    """y = Q(x) Q(W)ᵀ, ∂x = Q(∂y) Q(W), ∂W = Q(∂y)ᵀ Q(x), each with the scales of the rows and columns that it adds up;
    with gw_hp the weights of ∂x have one scale, and ∂W is of whole numbers."""
    generator = torch.Generator().manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(32, 48, bias=True)

        def get_output_embeddings(self) -> None:
            return None

    model = Model()
    weight, bias = model.layer.weight.detach().clone(), model.layer.bias.detach().clone()
    assert convert(model, recipe, [], emulate=True) == 1
    x = torch.randn(7, 32, generator=generator).requires_grad_()
    outer = torch.randn(7, 48, generator=generator)
    y = model.layer(x)
    y.backward(outer)
    data = x.detach()
    if recipe == "rowwise":
        of_input = rounded(outer, 1) @ rounded(weight, 0)
        of_weight = rounded(outer, 0).T @ rounded(data, 0)
    else:
        scaled = rounded(weight.flatten(), 0).view_as(weight)
        of_input, of_weight = rounded(outer, 1) @ scaled, outer.double().T @ data.double()
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(y.double(), rounded(data, 1) @ rounded(weight, 1).T + bias.double(), **close)
    torch.testing.assert_close(x.grad.double(), of_input, **close)
    torch.testing.assert_close(model.layer.weight.grad.double(), of_weight, **close)
    torch.testing.assert_close(model.layer.weight.detach(), weight, rtol=0, atol=0)
    assert (y.double() - (data.double() @ weight.double().T + bias.double())).abs().max() > 1e-3


def test_which_layers(tiny_llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All but the output head, those that are named, and those with a side that is no multiple of 16."""
    model = load_plain(tiny_llama)
    model.model.layers[0].mlp.up_proj = torch.nn.Linear(model.config.hidden_size, 24, bias=False)
    layers = [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    names = set(model.state_dict())
    caplog.set_level("INFO", logger="tunesmith")
    made = convert(model, "tensorwise", ["down_proj", "layers.1.self_attn"], emulate=True)
    changed = {name for name, module in model.named_modules() if type(module).__name__ == "Float8Linear"}
    left = {"lm_head", "model.layers.0.mlp.up_proj"}
    left |= {name for name in layers if name.endswith("down_proj") or "layers.1.self_attn" in name}
    assert changed == set(layers) - left and made == len(changed)
    assert set(model.state_dict()) == names
    said = caplog.text
    assert f"{made} layers" in said and "in 16 bits: " in said and "down_proj" in said
    assert "1 layers have sides that are no multiples of 16, such as model.layers.0.mlp.up_proj, 24×" in said
    with pytest.raises(TunesmithError, match="skip_modules"):
        convert(load_plain(tiny_llama), "tensorwise", ["up_prj"], emulate=True)


class Adapter:
    """LoRA on two layers, one of them the output head."""

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: Any) -> Any:
        return peft.get_peft_model(model, peft.LoraConfig(r=16, target_modules=["q_proj", "lm_head"]))


def test_in_training_alone_and_not_in_an_adapter(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A model that is asked, measured or exported computes as it was saved, and needs no such GPU."""
    hook = TestFp8().manager(Adapter()).hook
    for training in (True, False):
        model, source = load_plain(tiny_llama), source_of(tiny_llama, training=training)
        model = hook.apply_adapter(model=model, trained=None, source=source)
        changed = [name for name, module in model.named_modules() if type(module).__name__ == "Float8Linear"]
        assert not any("lora_" in name or "lm_head" in name for name in changed)
        assert sum("q_proj.base_layer" in name for name in changed) == training * model.config.num_hidden_layers
        difference = (logits_of(model, tiny_bpe) - logits_of(load_plain(tiny_llama), tiny_bpe)).abs().max().item()
        assert 1e-3 < difference < 1 if training else difference == 0


def test_device(monkeypatch: pytest.MonkeyPatch, tiny_llama: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wrapper = Fp8().load_processor(source=source_of(tiny_llama))
    next(wrapper)
    with pytest.raises(TunesmithError, match=r"torch finds no GPU here\.\n  leave patch.fp8 out"):
        wrapper.send("the tokenizer")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    for capability, fine in (((8, 6), set()), ((8, 9), {"tensorwise"}), ((9, 0), {"tensorwise", "rowwise"})):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda found=capability: found)
        for recipe in ("tensorwise", "rowwise"):
            if recipe in fine:
                require_device(recipe)
            else:
                with pytest.raises(
                    TunesmithError, match=f"A GPU has compute capability {capability[0]}.{capability[1]}"
                ):
                    require_device(recipe)


class Beside:
    traits = AdapterTraits(beside=True)


def keys(plan: StubPlan, **options: Any) -> dict[str, str]:
    return {problem.key: problem.severity for problem in Fp8(**options).check(plan=plan)}


def test_check() -> None:
    assert keys(StubPlan({}, values={"trainer.torch_compile": True})) == {}
    assert keys(StubPlan({})) == {"trainer.torch_compile": "warning"}
    assert keys(StubPlan({}, command="chat")) == {}
    assert keys(StubPlan({}), emulate=True) == {"patch.fp8.emulate": "warning"}
    assert keys(StubPlan({}, values={"trainer.use_cpu": True})) == {"trainer.use_cpu": "error"}
    plan = StubPlan({"quantizer": {"x": None}, "adapter": {"y": Beside()}}, values={"trainer.torch_compile": True})
    assert keys(plan) == {"quantizer": "error", "adapter": "warning"}
    sharded = {"trainer.torch_compile": True, "trainer.fsdp": "full_shard", "trainer.fsdp_config": {"version": 2}}
    assert keys(StubPlan({}, values=sharded), all_gather=True, recipe="tensorwise") == {}
    expected = {"patch.fp8.recipe": "error", "patch.fp8.all_gather": "error"}
    assert keys(StubPlan({}, values={"trainer.torch_compile": True}), all_gather=True) == expected


@pytest.mark.gpu
def test_on_a_gpu_as_emulated() -> None:
    """The device's products are the emulated ones, within bf16, for a number of tokens that is no multiple of 16."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("no CUDA device that multiplies FP8")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(256, 512, bias=False, dtype=torch.bfloat16, device="cuda")

        def get_output_embeddings(self) -> None:
            return None

    found = []
    x = torch.randn(37, 256, dtype=torch.bfloat16, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    for emulate in (True, False):
        model = Model()
        convert(model, "rowwise", [], emulate=emulate)
        model.layer(x).float().square().sum().backward()
        found.append((model.layer(x), model.layer.weight.grad))
    for emulated, computed in zip(*found, strict=True):
        assert (computed - emulated).norm() <= 0.01 * emulated.norm()
