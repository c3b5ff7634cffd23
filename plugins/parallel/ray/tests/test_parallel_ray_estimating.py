"""What one of Ray's processes needs: a copy of the model, or what the plugin says that spreads it."""

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_testing.parts import StubPlan
from tunesmith_parallel_ray import Ray

WEIGHTS = (Weight("model.layers.0.mlp.up_proj.weight", (100, 10), "linear", 32, True),)


def found(**options):
    made = Estimate("fp32", WEIGHTS, hidden_size=10, sequences=1, length=8, machine=Machine("", "cuda", 4))
    return Ray(**options).estimate(estimate=made, plan=StubPlan({}))


def test_a_copy():
    made = found(processes=8)
    assert made.processes == 8 and made.memory["buckets of gradients"].bytes == 4_000
    assert any("network" in unknown for unknown in made.unknown), "4 devices are in a machine, so there are two"
    assert found().processes == 4 and any("cluster" in unknown for unknown in found().unknown)


def test_what_spreads_the_model_says_it():
    made = found(processes=4, sharding="fsdp")
    assert made.processes == 4 and made.bytes("step")["weights"] == 1_000
