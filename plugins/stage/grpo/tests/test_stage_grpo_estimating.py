"""What TRL's loops are said to take: by hand, and beside what torch allocates."""

import json

import pytest
import tunesmith
from tunesmith.traits import AdapterTraits
from tunesmith_library_estimates.estimating import estimate
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.own_memory import without_own_memory
from tunesmith_library_testing.allocating import highest_allocation
from tunesmith_library_testing.parts import CHATML, StubPlan
from tunesmith_stage_grpo import Grpo, Rloo
from tunesmith_stage_grpo import estimating as costs

WEIGHTS = (
    Weight("model.embed_tokens.weight", (100, 8), "embedding", 32, trained=True),
    Weight("model.layers.0.mlp.up_proj.weight", (16, 8), "linear", 32, trained=True),
)


class Adapter:
    traits = AdapterTraits(beside=True)


def of(stage=None, device="cuda", trainer=None, **values):
    made = Estimate("bf16", WEIGHTS, 8, 100, sequences=8, flops_per_token=10.0, machine=Machine(device=device))
    plan = StubPlan(values, values={f"trainer.{key}": value for key, value in (trainer or {}).items()})
    return (stage or Grpo(max_prompt_length=50, max_completion_length=14)).estimate(made, plan)


@pytest.mark.slow
def test_tiles_are_those_of_trl():
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    assert (costs._TOKENS, costs._WIDTH) == (chunked_logprob.TOKEN_CHUNK_SIZE, utils._CHUNKED_LOGPROB_CHUNK_SIZE)


def test_answers_of_a_whole_step_are_written_together():
    found = of(trainer={"gradient_accumulation_steps": 4})
    assert (found.tokens, found.padded) == (8 * 64, True)
    assert (found.answers.sequences, found.answers.in_step, found.answers.length) == (32, 32, 64)


@pytest.mark.parametrize(("device", "rows", "each"), [("cuda", 8 * 14, 0), ("cpu", 8 * 64, 29)])
def test_logits_are_a_tile_at_a_time(device, rows, each):
    """On CPUs TRL computes those of prompts, too, and its arithmetic stands beside the tile."""
    of_output, hidden = 4 * 800, 4 * rows * 8
    assert of(device=device).bytes("forward")["logits"] == 2 * rows * 32768 + each * rows * 100 + of_output + hidden


def test_passes_beside_those_that_learn():
    found = of(Rloo(num_iterations=2, beta=0.1, max_prompt_length=50, max_completion_length=14))
    assert found.work["log-probabilities of answers"].flops == 4 * 64 * 10.0
    assert found.work["reference"].flops == 10.0 / 2
    assert found.bytes("forward")["reference model"] == 4 * 928
    assert "reference model" not in of(Rloo(beta=0.1), adapter={"mine": Adapter()}).memory
    assert "reference" not in of().work


def test_changes_that_take_less_keep_whole_groups():
    offered = [change.overrides for change in of().changes]
    assert ("trainer.per_device_train_batch_size=4", "stage.num_generations=4") in offered
    assert len(of(trainer={"gradient_accumulation_steps": 2}).changes) == len(offered) - 1


@pytest.mark.slow
def test_beside_what_torch_allocates(tiny_llama, tiny_bpe, tmp_path):
    """The highest moment of two steps, of what this process's main thread allocates, which learns."""
    asked = {"role": "user", "content": "ab" * 60}
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": asked["content"], "output": "a"}] * 8))
    rewards = tmp_path / "rewards.py"
    rewards.write_text("def long(prompts, completions, rows):\n    return [len(text) for text in completions]\n")
    prompt = len(tiny_bpe.encode(CHATML.render([asked], add_generation_prompt=True).text, add_special_tokens=False))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache": False},
        "adapter": "full",
        "precision": "fp32",
        "output_dir": str(tmp_path / "out"),
        "reward": {"function": {"path": f"{rewards}:long"}},
        "trainer": {"use_cpu": True, "max_steps": 2, "gradient_checkpointing": False, "save_strategy": "no"},
        "stage": {"name": "grpo", "max_prompt_length": prompt, "max_completion_length": 64},
    }
    with highest_allocation() as measured:
        tunesmith.train(config)
    assert without_own_memory(estimate(config)).peak[1] == pytest.approx(measured.bytes, rel=0.15)
