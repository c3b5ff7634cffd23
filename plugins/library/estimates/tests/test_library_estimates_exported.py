"""Bits of a number in files, from the layout of each format."""

import pytest
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.exported import few_bits, gguf_bits

LINEAR = Weight("model.layers.0.self_attn.q_proj.weight", (64, 256), "linear", 16)
HEAD = Weight("lm_head.weight", (100, 256), "head", 16)


@pytest.mark.parametrize(
    ("bits", "group", "zeros", "expected"),
    [(4, 128, False, 4.125), (4, 128, True, 4.15625), (8, -1, False, 8 + 16 / 256)],
)
def test_scales_and_zero_points_are_shared(bits, group, zeros, expected):
    assert few_bits(LINEAR, bits, group, zeros) == expected
    assert few_bits(HEAD, bits, group, zeros) == 16


def test_a_mixture_stores_the_output_layer_and_some_layers_in_six_bits():
    """Of eight layers llama.cpp's rule `i < n/8 or i >= 7n/8 or (i - n/8) % 3 == 2` takes 0, 3, 6 and 7."""
    down = [Weight(f"model.layers.{number}.mlp.down_proj.weight", (256, 512), "linear", 16) for number in range(8)]
    bits = gguf_bits(Estimate("bf16", (LINEAR, *down, HEAD)), "q4_k_m")
    assert bits is not None
    assert [number for number, weight in enumerate(down) if bits(weight) == 6.5625] == [0, 3, 6, 7]
    assert (bits(LINEAR), bits(HEAD)) == (4.5, 6.5625)


def test_rows_that_fill_no_block_are_stored_finer():
    narrow = Weight("model.layers.0.self_attn.q_proj.weight", (64, 96), "linear", 16)
    bits = gguf_bits(Estimate("bf16", (narrow,)), "q4_k_m")
    assert bits is not None and bits(narrow) == 5.5
    assert gguf_bits(Estimate("bf16"), "iq1_s") is None
