"""What the stage says that it takes: by hand, and beside what torch allocates."""

import json

import pytest
import tunesmith
from tunesmith_library_estimates.estimating import estimate
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.own_memory import without_own_memory
from tunesmith_library_testing.allocating import highest_allocation
from tunesmith_library_testing.parts import CHATML, StubPlan
from tunesmith_stage_ppo import Ppo

WEIGHTS = (
    Weight("model.embed_tokens.weight", (100, 8), "embedding", 32),
    Weight("model.layers.0.mlp.up_proj.weight", (16, 8), "linear", 32, trained=True),
)


def of(**options):
    made = Estimate("bf16", WEIGHTS, 8, 100, sequences=32, length=7, accumulated=5, flops_per_token=10.0)
    return Ppo(**options).estimate(made, StubPlan({}))


def test_batches_are_those_of_its_own_loop():
    found = of(batch_size=12, mini_batch_size=4, ppo_epochs=2, max_prompt_length=50, max_new_tokens=14, total_steps=9)
    assert (found.sequences, found.length, found.tokens) == (4, 64, 256)
    assert (found.steps, found.accumulated, found.padded) == (9, 6, True)
    assert (found.answers.sequences, found.answers.prompt, found.answers.tokens) == (4, 50, 14)
    assert found.work["log-probabilities of answers"].flops == 12 * 64 * 10.0
    assert found.work["reference"].flops == 10.0 / 4 * 2  # once a step of so many passes


@pytest.mark.parametrize(("prompt", "answer"), [(50, 14), (630, 10)])
def test_logits_of_all_tokens_and_what_stands_beside_those_of_answers(prompt, answer):
    """With 16 tokens of prompts to one of answers their gradients take more than what the loss is made of."""
    found = of(mini_batch_size=4, max_prompt_length=prompt, max_new_tokens=answer)
    every, answers = 2 * 4 * (prompt + answer) * 100, 4 * answer * 100
    gradients = found.bytes("forward")["gradients"]
    assert gradients == 4 * 128
    wanted = max(every + 12 * answers, max(20 * answers, 2 * every) - gradients)
    assert found.bytes("forward")["logits"] == wanted


def test_gradients_stay_while_answers_are_written():
    assert "gradients" in of().bytes("generate")
    assert of().bytes("generate")["optimizer states"] == 2 * 4 * 128


def test_what_the_trainer_said_does_not_count():
    made = Estimate("bf16", WEIGHTS, 8, 100, merged=99, recomputed={"activations": Memory(1.0)})
    found = Ppo().estimate(made.without("the states of trainer.optim=strange"), StubPlan({}))
    assert (found.merged, dict(found.recomputed), found.unknown) == (0, {}, ())


def test_changes_that_take_less_are_whole_shares():
    offered = [change.overrides for change in of(mini_batch_size=6).changes]
    assert ("stage.mini_batch_size=3",) in offered and ("stage.max_new_tokens=64",) in offered
    assert not [item for item in of(mini_batch_size=1).changes if "mini_batch" in item.overrides[0]]


@pytest.mark.slow
def test_beside_what_torch_allocates(tiny_llama, tiny_bpe, tmp_path):
    """The highest moment of two steps, of what this process's main thread allocates, which learns."""
    asked = {"role": "user", "content": "ab" * 60}
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": asked["content"], "output": "a"}] * 8))
    rewards = tmp_path / "rewards.py"
    rewards.write_text("def long(prompts, completions, rows):\n    return [len(text) for text in completions]\n")
    prompt = len(tiny_bpe.encode(CHATML.render([asked], add_generation_prompt=True).text, add_special_tokens=False))
    stage = {"name": "ppo", "total_steps": 2, "batch_size": 16, "mini_batch_size": 16, "ppo_epochs": 2}
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache": False},
        "adapter": "full",
        "precision": "fp32",
        "output_dir": str(tmp_path / "out"),
        "reward": {"function": {"path": f"{rewards}:long"}},
        "trainer": {"use_cpu": True},
        "stage": {**stage, "max_prompt_length": prompt, "max_new_tokens": 64, "use_cpu": True, "init_kl_coef": 0},
    }
    with highest_allocation() as measured:
        tunesmith.train(config)
    assert without_own_memory(estimate(config)).peak[1] == pytest.approx(measured.bytes, rel=0.15)
