"""What a process needs under ZeRO, by the options and by a user's file."""

import json

import pytest
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.training import gradients, optimizer_states
from tunesmith_library_testing.parts import StubPlan
from tunesmith_parallel_deepspeed import Deepspeed

pytestmark = pytest.mark.usefixtures("no_launcher")


def found(**options):
    """1,000 weights, all of them trained by AdamW in bf16."""
    weights = (Weight("model.layers.0.mlp.up_proj.weight", (100, 10), "linear", 32, True),)
    made = Estimate("bf16", weights, hidden_size=10, sequences=1, length=8, machine=Machine("", "cuda", 4))
    made = optimizer_states(gradients(made, accumulates=False), 2)
    return Deepspeed(**options).estimate(estimate=made, plan=StubPlan({}))


def test_by_the_stage():
    assert found(stage=3).bytes("step")["weights"] == 500 and found().bytes("step")["weights"] == 2_000
    assert found().bytes("step")["optimizer states"] == 2_000, "stage 2 where nothing is said"


def test_by_a_file(tmp_path):
    file = tmp_path / "zero.json"
    told = {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}
    file.write_text(json.dumps(told))
    host = found(config=str(file)).bytes("step", on_host=True)
    assert host["optimizer states"] == 8_000 and host["trained weights in float32"] == 4_000


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({"stage": 1}, ["stage=2", "stage=3", "offload_optimizer=cpu"]),
        ({"stage": 3}, ["offload_optimizer=cpu", "offload_param=cpu"]),
        ({"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu"}, []),
        ({"stage": 3, "offload_optimizer": "cpu", "offload_param": "cpu", "processes": 2}, ["processes=4"]),
    ],
)
def test_what_would_need_less(options, offered):
    said = [change.overrides[0].removeprefix("parallel.") for change in found(**options).changes]
    assert said[: len(offered)] == offered and (said == offered or "processes" in options)
