"""What a process needs that has a part of the model, by the options."""

import pytest
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.training import gradients, optimizer_states
from tunesmith_library_testing.parts import StubPlan
from tunesmith_parallel_fsdp import Fsdp

pytestmark = pytest.mark.usefixtures("no_launcher")
WEIGHTS = (
    Weight("model.embed_tokens.weight", (80, 8), "embedding", 32, True),
    *(Weight(f"model.layers.{layer}.mlp.up_proj.weight", (16, 8), "linear", 32, True) for layer in range(2)),
    *(Weight(f"model.layers.{layer}.mlp.experts.down_proj", (8, 8, 8), "experts", 32, True) for layer in range(2)),
)
SIZES = {"embedding": 640, "linear": 128, "experts": 512}


def found(precision="fp32", device="cuda", **options):
    machine = Machine("", device, 8, Room(1e6, 0.85), Room(1e6, 0.5))
    made = Estimate(precision, WEIGHTS, hidden_size=8, sequences=1, length=8, machine=machine)
    made = optimizer_states(gradients(made, accumulates=False), 2)
    return Fsdp(**options).estimate(estimate=made, plan=StubPlan({}))


def held(made):
    """Numbers of a weight that a process keeps, by kind."""
    return {weight.kind: weight.bytes / 4 for weight in made.weights}


def test_parts_by_process():
    made = found()
    assert made.processes == 8 and held(made) == {kind: size / 8 for kind, size in SIZES.items()}
    assert found(processes=1).memory.keys() == {"gradients", "optimizer states"}


def test_copies_of_the_model():
    assert held(found(replicas=2)) == {kind: size / 4 for kind, size in SIZES.items()}


def test_layers_that_are_computed_together():
    """Linear layers and experts are divided twice, what is outside of layers among a half of the processes."""
    made = found(tensor=2)
    assert made.processes == 4
    assert held(made) == {"embedding": 640 / 4, "linear": 128 / 8, "experts": 512 / 8}
    assert any("activations" in unknown for unknown in made.unknown)


def test_experts_among_processes():
    made = found(experts=4)
    assert made.processes == 8 and held(made) == {kind: size / 8 for kind, size in SIZES.items()}
    gathered = made.memory["weights of layers, gathered"].bytes
    assert gathered == 2 * 4 * (128 + 512 / 4), "experts of others never come together here"


def test_in_16_bits_only_where_nothing_is_packed():
    assert found("bf16").memory["weights of layers, gathered"].bytes == 2 * 2 * 640
    assert found("bf16", param_dtype="float32").memory["weights of layers, gathered"].bytes == 2 * 4 * 640


def test_offloading_is_of_a_gpu():
    assert found(cpu_offload=True).bytes("step", on_host=True)["weights"] == sum(weight.bytes for weight in WEIGHTS)
    assert not found(cpu_offload=True, device="cpu").bytes("step", on_host=True).get("weights")


@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({"processes": 2}, ["cpu_offload=true", "processes=4", "processes=8", "processes=16"]),
        (
            {"reshard_after_forward": False, "replicas": 2},
            ["reshard_after_forward=true", "replicas=1", "cpu_offload=true"],
        ),
        ({"cpu_offload": True}, []),
    ],
)
def test_what_would_need_less(options, offered):
    said = [change.overrides[0].removeprefix("parallel.") for change in found(**options).changes]
    assert said == offered


def test_a_checkpoint_is_gathered_where_it_is_written_whole():
    assert "a checkpoint, gathered" in found().memory
    assert "a checkpoint, gathered" not in found(checkpoints="sharded").memory
    saved = found().plus("x", Memory()).memory["a checkpoint, gathered"]
    assert saved.on_host and saved.bytes == 3 * sum(weight.bytes for weight in WEIGHTS)
