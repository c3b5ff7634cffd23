import pytest
import torch
from trainer_averaging import Averaging
from tunesmith_library_testing import TrainerSuite
from tunesmith_library_testing.parts import load_plain

pytestmark = pytest.mark.slow


class TestAveraging(TrainerSuite):
    plugin = Averaging
    one_file = True
    options = {"max_steps": 4, "learning_rate": 1e-3, "batch_size": 2}


def test_the_mean_of_the_last_weights_is_saved(tiny_llama, tiny_bpe, tmp_path):
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            seen.append([weight.detach().double().clone() for weight in self.param_groups[0]["params"]])

    def build(model, settings):
        return Watched(model.parameters(), lr=0.1)

    job, _ = TestAveraging().job(tiny_llama, tiny_bpe, tmp_path / "run", build_optimizer=build)
    Averaging(max_steps=5, batch_size=2, tail=0.5).fit(job=job)
    saved = load_plain(tmp_path / "run").parameters()
    for number, weight in enumerate(saved):  # steps 3, 4 and 5
        mean = sum(step[number] for step in seen[2:]) / 3
        torch.testing.assert_close(weight.detach().double(), mean, atol=1e-6, rtol=1e-5)
