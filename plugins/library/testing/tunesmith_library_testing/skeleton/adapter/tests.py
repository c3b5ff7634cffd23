from tunesmith_adapter_placeholder import Placeholder
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import load_plain, source_of


class TestPlaceholder(AdapterSuite):
    plugin = Placeholder
    options = {"rank": 4}


def test_number_of_weights(tiny_llama):
    plain = load_plain(tiny_llama)
    linears = [layer for name, layer in plain.named_modules() if name.endswith("_proj")]
    expected = sum(2 * 3 * (layer.in_features + layer.out_features) for layer in linears)
    model = Placeholder(rank=3).apply_adapter(model=plain, trained=None, source=source_of(tiny_llama))
    assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) == expected
