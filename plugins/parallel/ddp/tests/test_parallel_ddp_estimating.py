"""What a copy of the model needs, by its options."""

import pytest
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_testing.parts import StubPlan
from tunesmith_parallel_ddp import Ddp

pytestmark = pytest.mark.usefixtures("no_launcher")


def alone(devices=1):
    parts = ("q_proj", 64), ("k_proj", 16), ("v_proj", 16), ("o_proj", 64)
    weights = tuple(
        Weight(f"model.layers.0.self_attn.{name}.weight", (rows, 64), "linear", 32, True) for name, rows in parts
    )
    made = Estimate("bf16", weights, sequences=2, length=128, machine=Machine("", "cuda", devices))
    return made.plus("activations", Memory(bytes_per_token=100, phases=("forward",), of="activations"))


def found(devices=1, **options):
    return Ddp(**options).estimate(estimate=alone(devices), plan=StubPlan({}))


def test_one_for_each_device_of_the_machine_that_is_planned_for():
    made = found(devices=8, nodes=2, master="a:1")
    assert made.processes == 16 and made.memory["buckets of gradients"].bytes == 160 * 64 * 4


@pytest.mark.parametrize(("method", "sent"), [("ulysses", 2 * 2 * (160 + 0) * 3 / 4), ("ring", 32 * 3 * (2 * 2 + 4))])
def test_processes_that_share_a_batch(method, sent):
    """A quarter of its tokens each. Ulysses sends queries, keys, values and as many results as queries, in both
    passes; a ring keys and values, three times around, and in the backward pass their gradients in float32."""
    made = found(processes=8, sequence=method, sequence_size=4)
    assert made.processes == 2 and made.bytes("forward")["activations"] == 256 * 100 / 4
    assert made.work["attention's exchange among processes"].sent == pytest.approx(sent / 4)
