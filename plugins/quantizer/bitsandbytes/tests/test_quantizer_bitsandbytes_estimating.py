"""What 4 and 8 bits are said to take, against the bytes of bitsandbytes' layers."""

import pytest
import torch
from tunesmith_library_testing.holding import held_bytes
from tunesmith_library_testing.parts import estimate_of, load_plain, source_of
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_quantizer_bitsandbytes import Bitsandbytes


@pytest.mark.parametrize(
    "options", [{}, {"double_quant": False}, {"bits": 8}, {"skip_modules": ["layers.0.self_attn"]}]
)
@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe"])
def test_equals_what_the_layers_hold(options, architecture, tmp_path):
    """Of a mixture of experts the fused experts too."""
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    extra = experts if architecture == "qwen3_moe" else {}
    folder = save_tiny_model(tmp_path, architecture=architecture, hidden_size=128, **extra)
    quantizer = Bitsandbytes(**options)
    config = quantizer.quantization_config(source_of(folder, precision="bf16"))
    model = quantizer.quantize(load_plain(folder, "bfloat16", quantization_config=config))
    found = quantizer.estimate(estimate_of(load_plain(folder, "bfloat16"), "bf16"))
    assert found.bytes("step")["weights"] == pytest.approx(held_bytes(model), rel=5e-3)
    assert found.bytes("load") == found.bytes("step"), "weights are quantised while they are loaded"
    assert all(weight.dtype != torch.float32 for weight in model.parameters())
