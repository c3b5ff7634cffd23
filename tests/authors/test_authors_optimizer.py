import pytest
import torch
from optimizer_lion import Lion
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing import OptimizerSuite

pytestmark = pytest.mark.slow


class TestLion(OptimizerSuite):
    plugin = Lion
    one_file = True


def test_two_steps_of_lion_by_hand():
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, -2.0]])
    optimizer = Lion(beta1=0.9, beta2=0.5).build_optimizer(
        model=model, settings=OptimizerSettings(0.1, 0.5, 0.9, 0.999, 1e-8)
    )
    for gradient in ([[4.0, -0.01]], [[-0.1, 0.0]]):  # of the second step the momentum decides: 0.9 · 2 - 0.1 · 0.1 > 0
        model.weight.grad = torch.tensor(gradient)
        optimizer.step()
    # each step: 0.95 of the weight, then 0.1 against the sign
    expected = [[(1 * 0.95 - 0.1) * 0.95 - 0.1, (-2 * 0.95 + 0.1) * 0.95 + 0.1]]
    torch.testing.assert_close(model.weight.detach(), torch.tensor(expected))
