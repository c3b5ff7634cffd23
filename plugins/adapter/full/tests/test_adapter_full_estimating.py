"""What training all weights is said to cost, against what is trained."""

import pytest
from tunesmith_adapter_full import Full
from tunesmith_library_testing.parts import estimate_of, load_plain, source_of


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}, {"dtype": "auto"}, {"freeze": ["embed_tokens", "mlp"]}])
def test_equals_what_is_trained(options, tiny_llama):
    before = estimate_of(load_plain(tiny_llama, "bfloat16"), "bf16")
    model = Full(**options).apply_adapter(load_plain(tiny_llama, "bfloat16"), None, source_of(tiny_llama))
    found = Full(**options).estimate(before)
    sizes = {name: weight.numel() * weight.element_size() for name, weight in model.named_parameters()}
    assert {weight.name: weight.bytes for weight in found.weights} == sizes
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {weight.name for weight in found.weights if weight.trained} == trained
