"""What a process takes itself, added by the rules that were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tunesmith_library_estimates.activations import AT_LAST
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.own_memory import FRAGMENTS, HOLES, MAPPED, OWN, with_own_memory, without_own_memory
from tunesmith_library_estimates.working import Pauses

WEIGHTS = (
    Weight("model.embed_tokens.weight", (1000, 100), "embedding", 16),
    Weight("model.layers.0.mlp.up_proj.weight", (400, 100), "linear", 16),
    Weight("model.layers.0.mlp.up_proj.lora_A.weight", (8, 100), "other", 32, True),
)
PLAIN = Estimate("bf16", WEIGHTS, sequences=2, length=50, machine=Machine(device="cpu"))


KEPT = Memory(bytes_per_token=10_000, phases=("forward",), of="activations")


def test_fragments_are_a_share_of_what_comes_and_goes() -> None:
    """Of 100 tokens' activations and of gradients, in the phase that has the most of them; of no states."""
    made = PLAIN.plus("activations", KEPT).plus("logits", Memory(3e5, phases=("forward",), of="activations"))
    made = made.plus("gradients", Memory(3e5, phases=("backward", "step"), of="gradients"))
    made = made.plus("optimizer states", Memory(9e9, phases=("step", "save"), of="states"))
    found = with_own_memory(made)
    assert found.bytes("forward")[FRAGMENTS] == pytest.approx(0.4 * 100 * 10_000)
    assert not any(FRAGMENTS in found.bytes(phase) for phase in ("load", "save"))
    assert found.bytes("step")[HOLES] == pytest.approx(100 * 10_000 - 3e5)
    assert found.peak[1] > without_own_memory(found).peak[1] > 9e9
    assert without_own_memory(found) == made


def test_logits_and_a_layer_that_is_computed_again_come_by_turns() -> None:
    """All of the layer, and of logits two blocks that are kept, where layers keep less than one of them makes."""
    last = Memory(bytes_per_token=50_000, phases=("backward",), of="activations")
    made = PLAIN.plus("activations", KEPT).plus(AT_LAST, last)
    few = made.plus("logits", Memory(1e6, phases=("forward",), of="activations"))
    many = made.plus("logits", Memory(9e9, phases=("forward",), of="activations"))
    assert with_own_memory(few).bytes("forward")[FRAGMENTS] == 1e6 + 100 * 50_000
    assert with_own_memory(many).bytes("forward")[FRAGMENTS] == 2 * 32 * 2**20 + 100 * 50_000
    kept = many.plus("activations", replace(KEPT, bytes_per_token=60_000))
    assert with_own_memory(kept).bytes("forward")[FRAGMENTS] == pytest.approx(0.4 * 100 * 60_000)


def test_gradients_of_large_weights_leave_no_fragments() -> None:
    """One of 40 MB goes back to the system, and the 400 KB of the other do not."""
    large = Weight("lm_head.weight", (100_000, 100), "head", 32, True)
    small = Weight("model.layers.0.mlp.up_proj.weight", (1000, 100), "linear", 32, True)
    made = replace(PLAIN, weights=(large, small), stored_bits=32.0)
    made = made.plus("gradients", Memory(4e7 + 4e5, phases=("backward", "step"), of="gradients"))
    assert with_own_memory(made).bytes("step")[FRAGMENTS] == pytest.approx(0.4 * 4e5)


def test_activations_that_are_computed_again_leave_no_fragments() -> None:
    less = replace(KEPT, bytes_per_token=100)
    made = replace(PLAIN.plus("activations", KEPT), recomputed={"activations": less})
    again = with_own_memory(made).computing_again()
    assert again.bytes("forward")[FRAGMENTS] == pytest.approx(0.4 * 100 * 100)
    assert again.bytes("step")[HOLES] == pytest.approx(100 * 100)


def test_devices_that_are_not_known_get_nothing() -> None:
    assert with_own_memory(replace(PLAIN, machine=Machine(device="mps"))).memory == {}
    assert set(with_own_memory(replace(PLAIN, machine=Machine(device="cuda"))).memory) == {OWN}


@pytest.mark.parametrize(
    ("bits", "device", "held"),
    [(4.5, "cpu", 0), (32, "cpu", 80_000), (16, "cpu", 0), (32, "cuda", 0)],  # of 4.5 bits it is copied out of it
)
def test_a_file_of_which_parts_are_in_use_is_held_whole(bits: float, device: str, held: float) -> None:
    """Of 400 × 100 numbers that are changed the 2 bytes in the file; LoRA's matrices are in no file."""
    changed = (WEIGHTS[0], replace(WEIGHTS[1], bits=bits), WEIGHTS[2])
    found = with_own_memory(replace(PLAIN, weights=changed, machine=Machine(device=device)))
    assert found.memory.get(MAPPED, Memory()).bytes == held


def test_fused_experts_are_put_together_out_of_the_file() -> None:
    weights = (WEIGHTS[0], Weight("model.layers.0.mlp.experts.up_proj", (4, 100, 100), "experts", 16))
    assert with_own_memory(replace(PLAIN, weights=weights)).memory[MAPPED].bytes == 80_000


@pytest.mark.parametrize(("stored", "read"), [(16.0, 2), (32.0, 0)])
def test_a_file_in_other_numbers_is_there_while_it_is_read(stored: float, read: int) -> None:
    wide = tuple(replace(weight, bits=32) for weight in WEIGHTS)
    found = with_own_memory(replace(PLAIN, weights=wide, stored_bits=stored))
    assert MAPPED not in found.memory
    assert sum(found.bytes("load").values()) == sum(weight.bytes for weight in wide) + read * (100_000 + 40_000)


def test_a_whole_result_is_copied_to_be_written() -> None:
    found = with_own_memory(replace(PLAIN, pauses=Pauses(whole=True)))
    one = 2 * 100_000  # which is copied before it is rounded
    assert found.bytes("save")["the result, as it is written"] == 2 * (100_000 + 40_000) + one
