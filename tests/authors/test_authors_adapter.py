import pytest
from adapter_ia3 import Ia3
from tunesmith_library_testing import AdapterSuite
from tunesmith_library_testing.parts import load_plain, source_of

pytestmark = pytest.mark.slow


class TestIa3(AdapterSuite):
    plugin = Ia3
    one_file = True
    learning_rate = 0.1
    falls_to = 0.97  # so few weights move it little in twenty steps


def test_one_number_for_each_scaled_value(tiny_llama):
    plain = load_plain(tiny_llama)
    config = plain.config
    keys = config.num_key_value_heads * config.head_dim
    expected = config.num_hidden_layers * (2 * keys + config.intermediate_size)
    adapted = Ia3().apply_adapter(model=plain, trained=None, source=source_of(tiny_llama))
    assert sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad) == expected
