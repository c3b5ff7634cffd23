import torch
from quantizer_float8 import Float8, decode, encode
from tunesmith_library_testing import QuantizerSuite


class TestFloat8(QuantizerSuite):
    plugin = Float8
    one_file = True
    bits_option = None
    error_bounds = {8: 0.04}


def test_no_weight_is_further_than_half_a_step():
    """Three bits of mantissa: a normal number is off by 1/16 of itself at most, a subnormal by half of 2⁻⁹ scales."""
    weight = torch.randn(16, 64, dtype=torch.float64)
    stored = encode(weight)
    error = (decode(stored) - weight).abs()
    assert bool((error <= torch.maximum(weight.abs() / 16, stored["scales"] * 2**-10) * 1.001).all())
