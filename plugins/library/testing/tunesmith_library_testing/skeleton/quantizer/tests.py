import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import load_plain
from tunesmith_quantizer_placeholder import Placeholder
from tunesmith_quantizer_placeholder.linear import RoundedLinear


class TestPlaceholder(QuantizerSuite):
    plugin = Placeholder
    options = {"group_size": 32}
    error_bounds = {8: 0.01, 4: 0.15, 3: 0.35}


def test_no_weight_is_further_than_half_a_level():
    linear = torch.nn.Linear(64, 8, bias=False)
    rounded = RoundedLinear(linear, bits=4, group_size=16)
    error = (rounded.weight - linear.weight).unflatten(1, (-1, 16)).abs().amax(-1)
    largest = linear.weight.unflatten(1, (-1, 16)).abs().amax(-1)
    assert bool((error <= largest / 7 / 2 + 1e-6).all())


def test_group_size_must_divide(tiny_llama):
    with pytest.raises(TunesmithError, match="group_size=48 does not divide the width 64"):
        Placeholder(group_size=48).quantize(model=load_plain(tiny_llama))
