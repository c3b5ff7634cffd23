import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import collate, examples, load_plain, train
from tunesmith_quantizer_absmax import Absmax
from tunesmith_quantizer_absmax.linear import AbsmaxLinear


class TestAbsmax(QuantizerSuite):
    plugin = Absmax
    options = {"group_size": 32}
    error_bounds = {8: 0.01, 4: 0.15, 3: 0.35}


def test_no_weight_is_further_than_half_a_level():
    linear = torch.nn.Linear(64, 8, bias=False)
    rounded = AbsmaxLinear(linear, bits=4, group_size=16)
    error = (rounded.weight - linear.weight).unflatten(1, (-1, 16)).abs().amax(-1)
    largest = linear.weight.unflatten(1, (-1, 16)).abs().amax(-1)
    assert bool((error <= largest / 7 / 2 + 1e-6).all())


def test_group_size_must_divide(tiny_llama):
    with pytest.raises(TunesmithError, match="group_size=48 does not divide the width 64"):
        Absmax(group_size=48).quantize(model=load_plain(tiny_llama))


def test_backward_keeps_no_weight():
    layer, kept = AbsmaxLinear(torch.nn.Linear(64, 256), bits=4, group_size=16), []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(1, 64, requires_grad=True))
    assert sum(tensor.numel() for tensor in kept) < 64 * 256


def test_lora_trains_beside_it(tiny_llama, tiny_bpe):
    import peft

    model = Absmax(group_size=32).quantize(model=load_plain(tiny_llama))
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear"))
    losses = train(model, collate(examples(tiny_bpe)))
    assert losses[-1] < 0.9 * losses[0]
