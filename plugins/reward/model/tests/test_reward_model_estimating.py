"""What a reward model is said to take, beside the weights that transformers loads."""

import pytest
import transformers
from tunesmith_library_estimates.cache import Answers
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_model import RewardModel


@pytest.mark.parametrize(("precision", "each"), [("bf16", 2), ("fp32", 4)])
def test_weights_and_a_pass_over_each_answer(precision, each, tiny_llama):
    made = Estimate("bf16", answers=Answers(4, 30, 20, 8), machine=Machine(device="cuda"))
    judge = RewardModel(path=str(tiny_llama), precision=precision, max_length=40)
    found = judge.estimate(made, StubPlan({}))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1)
    backbone = list(model.model.parameters())
    assert found.bytes("forward")["reward model"] == each * sum(weight.numel() for weight in backbone)
    matrices = sum(weight.numel() for weight in backbone[1:] if weight.ndim > 1)
    work = found.work["scores of the reward model"]
    assert (work.flops, work.per) == (2 * matrices * 8 * 40, "step")


def test_beside_the_gpu_it_takes_the_hosts_memory(tiny_llama):
    made = Estimate("bf16", machine=Machine(device="cuda"))
    found = RewardModel(path=str(tiny_llama), device="cpu").estimate(made, StubPlan({}))
    assert "reward model" in found.bytes("forward", on_host=True)


def test_a_model_that_is_not_at_hand():
    assert "org/judge" in RewardModel(path="org/judge").estimate(Estimate("bf16"), StubPlan({})).unknown[0]
