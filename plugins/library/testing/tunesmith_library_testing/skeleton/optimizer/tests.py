import torch
from tunesmith_library_testing import OptimizerSuite
from tunesmith_optimizer_placeholder import Placeholder
from tunesmith_optimizer_placeholder.signum import Signum


class TestPlaceholder(OptimizerSuite):
    plugin = Placeholder


def test_a_step_by_hand():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = Signum([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([3.0, -0.01, 0.0])
    optimizer.step()
    # 1 - 0.1 * 0.5 = 0.95 of each weight, then 0.1 against the sign of the gradient
    torch.testing.assert_close(weight.detach(), torch.tensor([0.85, -1.8, 0.475]))
