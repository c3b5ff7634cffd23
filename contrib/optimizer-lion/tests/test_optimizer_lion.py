import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing import OptimizerSuite
from tunesmith_optimizer_lion import Lion


class TestLion(OptimizerSuite):
    plugin = Lion
    learning_rate = 1e-3


def test_equals_the_formula_in_float64():
    """Five steps with weight decay, written out number by number."""
    model = torch.nn.Linear(4, 3)
    optimizer = Lion().build_optimizer(model=model, settings=OptimizerSettings(1e-2, 0.1, 0.9, 0.999, 1e-8))
    expected = {name: weight.detach().double() for name, weight in model.named_parameters()}
    momentum = dict.fromkeys(expected, 0.0)
    for _ in range(5):
        for name, weight in model.named_parameters():
            weight.grad = torch.randn_like(weight)
            g, m, w = weight.grad.double(), momentum[name], expected[name]
            decay = 0.1 if name == "weight" else 0.0
            expected[name] = w - 1e-2 * (torch.sign(0.9 * m + 0.1 * g) + decay * w)
            momentum[name] = 0.99 * m + 0.01 * g
        optimizer.step()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.double(), expected[name], rtol=0, atol=1e-6)


def test_equals_bitsandbytes():
    """bitsandbytes' Lion with 32-bit moments ends with the same weights."""
    import bitsandbytes

    mine, theirs = torch.nn.Linear(64, 64, bias=False), torch.nn.Linear(64, 64, bias=False)
    theirs.load_state_dict(mine.state_dict())
    optimizer = Lion().build_optimizer(model=mine, settings=OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    reference = bitsandbytes.optim.Lion(theirs.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(5):
        mine.weight.grad = torch.randn(64, 64)
        theirs.weight.grad = mine.weight.grad.clone()
        optimizer.step()
        reference.step()
    torch.testing.assert_close(mine.weight, theirs.weight, rtol=0, atol=1e-6)
