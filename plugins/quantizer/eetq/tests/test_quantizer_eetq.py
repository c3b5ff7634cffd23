"""EETQ: the errors where its kernel cannot be, our layer around it, and the whole path on a GPU.

Without a GPU the kernel's two functions are given by their formulas, in plain torch: quantising per output, and the
product of float16 inputs with int8 weights. What is tested then is everything but the kernel itself.
"""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_quantizer_eetq import Eetq
from tunesmith_quantizer_eetq.linear import EetqLinear

LAYER = "model.layers.0.mlp.up_proj"


def quant_weights(weight: torch.Tensor, kind: torch.dtype, unprocessed: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 weights (in, out) and their scales (out): the kernel's own order of the numbers is left out."""
    assert kind == torch.int8 and not unprocessed
    scales = weight.float().abs().amax(0) / 127
    return (weight.float() / scales).round().to(torch.int8), scales.half()


def w8_a16_gemm(x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Inputs (…, in) in float16, weights (in, out): outputs (…, out), summed in float32."""
    assert x.dtype == torch.float16 and weight.dtype == torch.int8 and x.dim() in (2, 3)
    return (x.float() @ (weight.float() * scales.float())).half()


@pytest.fixture
def formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers find the formulas where the kernel would be."""
    from transformers.integrations import eetq, hub_kernels
    from transformers.quantizers import quantizer_eetq

    functions = SimpleNamespace(quant_weights=quant_weights, w8_a16_gemm=w8_a16_gemm)
    monkeypatch.setattr(hub_kernels, "get_kernel", lambda *_, **__: functions)
    monkeypatch.setattr(eetq, "eetq_kernels_hub", functions, raising=False)
    monkeypatch.setattr(quantizer_eetq, "is_kernels_available", lambda *_: True)


def quantised(folder: Path, device: str | None = None) -> Any:
    """The tiny model as the pipeline quantises it; without a device, as if this machine had a GPU."""
    quantizer = Eetq()
    with pytest.MonkeyPatch.context() as patch:
        if device is None:
            patch.setattr(torch.cuda, "is_available", lambda: True)
        config = quantizer.quantization_config(source_of(folder, precision="fp16"))
        return quantizer.quantize(load_plain(folder, "float16", quantization_config=config, device_map=device))


def computing_in_fp16(model: Any, device: str) -> Any:
    """The model as the trainer has it: what is trained in float32, what is computed in float16."""
    for weight in model.parameters():
        weight.data = weight.data.float() if weight.requires_grad else weight.data
    model.forward = torch.autocast(device, torch.float16)(model.forward)
    return model


class TestEetq(QuantizerSuite):
    plugin = Eetq
    bits_option = None
    error_bounds = {8: 0.02}
    device = "cuda"
    dtype = "float16"

    def quantized(self, folder: Path, bits: int) -> Any:
        del bits
        if not torch.cuda.is_available() or importlib.util.find_spec("kernels") is None:
            pytest.skip("needs a CUDA device and the package kernels")
        return quantised(folder, "cuda")


@pytest.mark.usefixtures("formulas")
def test_a_weight_has_a_scale_per_output(tiny_llama: Path) -> None:
    model, plain = quantised(tiny_llama), load_plain(tiny_llama)
    names = [name for name, layer in model.named_modules() if isinstance(layer, EetqLinear)]
    linear = {name for name, layer in plain.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert set(names) == linear - {"lm_head"}
    for name in names:
        weight = plain.get_submodule(name).weight.detach()
        scales = weight.abs().amax(1, keepdim=True) / 127
        found = model.get_submodule(name).weight.float()
        assert ((found - weight).abs() <= 0.51 * scales + 1e-3 * weight.abs()).all()
    assert not any(weight.requires_grad for name in names for weight in model.get_submodule(name).parameters())


@pytest.mark.usefixtures("formulas")
@pytest.mark.parametrize("shape", [(5,), (2, 5), (1, 5), (3, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_outputs_and_gradients_for_inputs_of_any_shape(tiny_llama: Path, shape: tuple[int, ...], bias: bool) -> None:
    """Also for several sequences, where the gradient of transformers' own layer has the wrong shape."""
    torch.manual_seed(0)
    layer = quantised(tiny_llama).get_submodule(LAYER)
    if bias:
        layer.kernel.bias = torch.nn.Parameter(torch.randn(layer.out_features, dtype=torch.float16), False)
    weight, offset = layer.weight.double(), 0 if layer.bias is None else layer.bias.double()
    x = torch.randn(*shape, layer.in_features, requires_grad=True)
    out = layer(x)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), x.detach().double() @ weight.T + offset, atol=5e-3, rtol=5e-3)
    factor = torch.randn(out.shape)
    (gradient,) = torch.autograd.grad((out.float() * factor).sum(), x)
    torch.testing.assert_close(gradient.double(), factor.double() @ weight, atol=5e-3, rtol=5e-3)


@pytest.mark.usefixtures("formulas")
def test_lora_is_trained_saved_and_loaded(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    import peft

    config = peft.LoraConfig(r=8, target_modules="all-linear", modules_to_save=["lm_head"])
    model = peft.get_peft_model(quantised(tiny_llama), config)
    losses = train(computing_in_fp16(model.train(), "cpu"), collate(examples(tiny_bpe)), steps=24)
    assert losses[-1] < 0.5 * losses[0]
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(quantised(tiny_llama), tmp_path)
    loaded = computing_in_fp16(loaded, "cpu")
    assert torch.equal(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe))


@pytest.mark.gpu
def test_lora_on_a_gpu(tiny_llama: Path, tiny_bpe: Any) -> None:
    if not torch.cuda.is_available() or importlib.util.find_spec("kernels") is None:
        pytest.skip("needs a CUDA device and the package kernels")
    import peft

    model = peft.get_peft_model(quantised(tiny_llama, "cuda"), peft.LoraConfig(r=8, target_modules="all-linear"))
    batch = {
        name: value.cuda() if hasattr(value, "cuda") else value for name, value in collate(examples(tiny_bpe)).items()
    }
    losses = train(computing_in_fp16(model.train(), "cuda"), batch, steps=24)
    assert losses[-1] < losses[0]
    expected = logits_of(load_plain(tiny_llama), tiny_bpe)
    with model.disable_adapter():
        assert (logits_of(model, tiny_bpe) - expected).norm() < 0.05 * expected.norm()


def test_without_a_gpu_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is empty: the error comes before any file is looked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TunesmithError, match=r"(?s)eetq needs a CUDA GPU.*found: none.*quantizer=torchao"):
        Eetq().quantization_config(source_of(tmp_path, precision="fp16"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(TunesmithError, match=r"computes in fp16; this run computes in bf16"):
        Eetq().quantization_config(source_of(tmp_path, precision="bf16"))


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16"])
def test_check(monkeypatch: pytest.MonkeyPatch, installed: bool, precision: str) -> None:
    real = importlib.util.find_spec
    found = SimpleNamespace() if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found if name == "kernels" else real(name))
    quantizer = Eetq()
    problems = quantizer.check(StubPlan({"quantizer": {"eetq": quantizer}}, values={"precision": precision}))
    expected = [] if installed else ["quantizer"]
    assert [problem.key for problem in problems] == [*expected, *(["precision"] if precision != "fp16" else [])]
    assert all("quantizer=torchao" in problem.advice for problem in problems)
