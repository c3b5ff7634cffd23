"""What HQQ is said to take, against the bytes of its layers."""

import pytest
from hqq.core.quantize import HQQLinear
from tunesmith_library_testing.parts import estimate_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_weights.experts import Packed
from tunesmith_quantizer_hqq import Hqq


def held(model):
    """Bytes of all weights, and of the scales and zero points of quantised ones."""
    total = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    for layer in model.modules():
        if isinstance(layer, HQQLinear):
            total += sum(layer.meta[name].numel() * layer.meta[name].element_size() for name in ("scale", "zero"))
        elif isinstance(layer, Packed):
            total += sum(buffer.numel() * buffer.element_size() for buffer in layer.buffers())
    return total


@pytest.mark.parametrize("bits", [8, 4, 3, 2, 1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equals_what_the_layers_hold(bits, dtype, tiny_llama):
    options = {"bits": bits, "group_size": 32, "skip_modules": ["layers.0.mlp"]}
    before = estimate_of(load_plain(tiny_llama, dtype), "fp32" if dtype == "float32" else "bf16")
    found = Hqq(**options).estimate(before)
    weights = found.bytes("step")["weights"]
    tolerance = 5e-3 if bits == 3 else 1e-3  # ten numbers of 3 bits lie in 32, and small layers leave some unused
    assert weights == pytest.approx(held(Hqq(**options).quantize(load_plain(tiny_llama, dtype))), rel=tolerance)
    before_it = sum(weight.bytes for weight in before.weights)
    load = found.bytes("load")
    largest = max(weight.count for weight in before.weights if weight.kind == "linear")
    assert load.pop("a layer while it is quantised") > 4 * largest, "it is quantised in float32"
    assert sum(load.values()) == pytest.approx(before_it), "the whole model is loaded first"


def test_fused_experts_too(tmp_path):
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    folder = save_tiny_model(tmp_path, architecture="qwen3_moe", **sizes)
    found = Hqq().estimate(estimate_of(load_plain(folder)))
    assert found.bytes("step")["weights"] == pytest.approx(held(Hqq().quantize(load_plain(folder))), rel=2e-3)
    assert found.bytes("forward")["experts of a layer, dequantised"] == 4 * 4 * 3 * 64 * 64
