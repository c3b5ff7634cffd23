"""What each of several processes has: worked examples, in bytes."""

from dataclasses import replace

import pytest
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.spreading import (
    Sharding,
    Started,
    among,
    by_layer,
    fully_sharded,
    of_machine,
    replicated,
    sharing_batches,
)
from tunesmith_library_estimates.training import BESIDE_A_STEP, gradients, optimizer_states
from tunesmith_library_estimates.zero import Zero, sharded_by_zero

LAYERS = tuple(Weight(f"model.layers.{number}.mlp.up_proj.weight", (10, 10), "linear", 32, True) for number in range(4))
ROOT = (
    Weight("model.embed_tokens.weight", (50, 10), "embedding", 32, True),
    Weight("lm_head.weight", (50, 10), "head", 32, True),
)
GPU = Machine("card", "cuda", 4, Room(1e9, 0.85), Room(1e10, 0.5))


def full(precision="fp32", machine=GPU):
    """1,400 weights in float32, all of them trained by AdamW."""
    made = Estimate(precision, (*ROOT, *LAYERS), hidden_size=10, sequences=2, length=8, machine=machine)
    return optimizer_states(gradients(made, accumulates=False), 2)


def test_copies_sum_up_gradients_in_buckets():
    made = replicated(full(), 4)
    assert made.memory["buckets of gradients"].bytes == 1_400 * 4
    assert made.work["gradients summed up"].sent == 2 * 5_600 * 3 / 4
    assert replicated(full(), 1) == full()


def test_parts_and_the_layers_that_come_together():
    made = fully_sharded(full(), Sharding(4))
    whole, layer, root = 5_600, 400, 4_000
    assert made.bytes("load") == {
        "weights": whole / 4,
        "weights before they are divided": whole * 3 / 4,
    }, "a process loads all of them, and keeps its part"
    assert made.bytes("step") == {
        "weights": whole / 4,
        "gradients": whole / 4,
        "optimizer states": 2 * whole / 4,
    }
    forward = made.bytes("forward")
    assert (
        forward["weights outside of layers, gathered"] == root and forward["weights of layers, gathered"] == 2 * layer
    )
    # at its end the gradients of what is in no layer are there twice: as they came, and to be sent
    assert made.bytes("backward")["weights and gradients, gathered"] == max(
        2 * layer + layer + layer + root / 2, root + root
    )
    saved = made.memory["a checkpoint, gathered"]
    assert (saved.bytes, saved.on_host) == (3 * whole, True)
    assert made.work["weights gathered, gradients divided"].sent == 3 * whole * 3 / 4


def test_layers_of_a_tower_come_together_with_what_is_in_no_layer():
    tower = Weight("model.visual.layers.0.mlp.fc1.weight", (10, 10), "linear", 32, stands_in="vision")
    outside, layers = by_layer((*ROOT, *LAYERS, tower))
    assert [weight.name for weight in outside] == [ROOT[0].name, ROOT[1].name, tower.name] and len(layers) == 4


def test_layers_that_stay_together():
    made = fully_sharded(full(), Sharding(4, reshards=False))
    assert made.bytes("forward")["weights of layers, gathered"] == 5 * 400
    assert made.work["weights gathered, gradients divided"].sent == 2 * 5_600 * 3 / 4


def test_parts_in_16_bits():
    """Weights come together in 16 bits, and what autocast would make is not there; gradients are sent in 32."""
    cast = full("bf16").plus("weights in 16 bits", Memory(2_800, phases=("forward", "backward"), of="weights"))
    made = fully_sharded(cast, Sharding(2, casts=True))
    assert "weights in 16 bits" not in made.memory
    assert made.bytes("forward")["weights of layers, gathered"] == 2 * 200
    assert made.bytes("backward")["weights and gradients, gathered"] == 2_000 + 4_000


def test_offloaded_parts_are_in_the_hosts_memory_for_all_processes():
    started = Started(4, 4)
    made = of_machine(fully_sharded(full(), Sharding(4, offloads=True, local=4)), started)
    assert made.bytes("step") == {"weights": 0}
    assert made.bytes("step", on_host=True) == {"weights": 5_600, "gradients": 5_600, "optimizer states": 11_200}
    assert made.bytes("save", on_host=True)["a checkpoint, gathered"] == 3 * 5_600, "by the first process alone"


def test_processes_of_a_cpu_share_its_memory():
    made = among(full(machine=Machine("", "cpu", 1, Room(800, 0.5))), Started(8, 4), alike=2)
    assert made.processes == 4 and made.machine.room == Room(200, 0.5)
    assert any("network" in unknown for unknown in made.unknown)
    assert among(full(), Started(4, 4)).machine == GPU


def test_a_batch_that_is_shared():
    made = full().plus("activations", Memory(bytes_per_token=100, phases=("forward",), of="activations"))
    made = sharing_batches(replace(made, flops_per_token=8, flops_per_pair=4), 4)
    assert made.bytes("forward")["activations"] == 16 * 25
    assert (made.flops_per_token, made.flops_per_pair) == (2, 1)


@pytest.mark.parametrize(
    ("stage", "weights", "gradients_of", "states"),
    [(0, 2_800, 2_800, 16_800), (1, 2_800, 2_800, 4_200), (2, 2_800, 700, 4_200), (3, 700, 700, 4_200)],
)
def test_stages_of_zero(stage, weights, gradients_of, states):
    """The formulas of figure 1 of the paper, in bytes a weight: 2 + 2 + 12, of which a stage divides the last ones."""
    made = sharded_by_zero(full("bf16"), Zero(stage, 4))
    assert made.bytes("step")["weights"] == weights and made.bytes("step")["gradients"] == gradients_of
    assert made.bytes("step")["optimizer states"] + made.bytes("step")["trained weights in float32"] == states


def test_zero_steps_all_of_a_part_at_once():
    """What a step computes in, of the largest weight alone, is of all that a process has."""
    before = full().plus(BESIDE_A_STEP, Memory(2 * 500 * 4, phases=("step",), of="states"))
    assert sharded_by_zero(before, Zero(2, 4)).bytes("step")[BESIDE_A_STEP] == pytest.approx(2 * 1_400 * 4 / 4)


def test_zero_in_float32_has_the_weights_twice():
    assert sharded_by_zero(full(), Zero(1, 4)).bytes("forward")["trained weights in float32"] == 1_400
    assert "trained weights in float32" not in sharded_by_zero(full(), Zero(0, 4)).memory


def test_zero_offloaded():
    made = of_machine(sharded_by_zero(full("bf16"), Zero(3, 4, "cpu", "cpu")), Started(4, 4))
    host = made.bytes("step", on_host=True)
    assert (host["weights"], host["optimizer states"], host["trained weights in float32"]) == (2_800, 11_200, 5_600)
    assert made.bytes("step")["weights"] == 0
    saved = of_machine(sharded_by_zero(full("bf16"), Zero(2, 4, local=4)), Started(4, 4)).bytes("save", on_host=True)
    assert saved == {"weights": 0, "the result, gathered": 2_800}, "of all processes, the first alone"
    disk = sharded_by_zero(full("bf16"), Zero(3, 4, "nvme", "nvme"))
    assert disk.disk["weights, offloaded"] == 2_800 and disk.disk["optimizer states, offloaded"] == 11_200
    assert disk.bytes("step", on_host=True)["weights"] == 0 and any("nvme" in what for what in disk.unknown)


def test_what_a_file_of_deepspeed_says():
    zero = {"stage": 3, "offload_optimizer": {"device": "cpu"}, "reduce_bucket_size": "auto", "sub_group_size": 5e6}
    found = Zero.of({"zero_optimization": zero}, 2)
    assert found == Zero(3, 2, "cpu", "none", True, 0, 50_000_000, 1_000_000_000, 5_000_000)
    assert Zero.of({}, 2).stage == 0
