from tunesmith.testing import AdapterSuite
from tunesmith.testing.parts import load_plain, source_of
from tunesmith_adapter_placeholder import Placeholder


class TestPlaceholder(AdapterSuite):
    plugin = Placeholder
    options = {"rank": 4}


def test_number_of_weights(tiny_model):
    plain = load_plain(tiny_model)
    linears = [layer for name, layer in plain.named_modules() if name.endswith("_proj")]
    expected = sum(2 * 3 * (layer.in_features + layer.out_features) for layer in linears)
    model = Placeholder(rank=3).apply_adapter(model=plain, trained=None, source=source_of(tiny_model))
    assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) == expected
