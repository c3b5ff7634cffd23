"""What a process takes itself, added by the rules that were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.own_memory import FRAGMENTS, MAPPED, OWN, with_own_memory, without_own_memory

WEIGHTS = (
    Weight("model.embed_tokens.weight", (1000, 100), "embedding", 16),
    Weight("model.layers.0.mlp.up_proj.weight", (400, 100), "linear", 16),
    Weight("model.layers.0.mlp.up_proj.lora_A.weight", (8, 100), "other", 32, True),
)
PLAIN = Estimate("bf16", WEIGHTS, sequences=2, length=50, machine=Machine(device="cpu"))


def test_fragments_are_a_share_of_what_comes_and_goes() -> None:
    """Of 100 tokens' activations and of gradients, in the phase that has the most of them; of no states."""
    made = PLAIN.plus("activations", Memory(bytes_per_token=10_000, phases=("forward",), of="activations"))
    made = made.plus("gradients", Memory(3e5, phases=("backward",), of="gradients"))
    made = made.plus("optimizer states", Memory(9e9, phases=("step", "save"), of="states"))
    found = with_own_memory(made)
    assert found.memory[FRAGMENTS].bytes == pytest.approx(0.3 * 100 * 10_000)
    assert found.peak[1] > without_own_memory(found).peak[1] > 9e9
    assert without_own_memory(found) == made


def test_devices_that_are_not_known_get_nothing() -> None:
    assert with_own_memory(replace(PLAIN, machine=Machine(device="mps"))).memory == {}
    assert set(with_own_memory(replace(PLAIN, machine=Machine(device="cuda"))).memory) == {OWN}


@pytest.mark.parametrize(
    ("bits", "precision", "device", "held"),
    [(4.5, "bf16", "cpu", 80_000), (32, "bf16", "cpu", 80_000), (16, "bf16", "cpu", 0), (4.5, "bf16", "cuda", 0)],
)
def test_a_file_of_which_parts_are_in_use_is_held_whole(bits: float, precision: str, device: str, held: float) -> None:
    """Of 400 × 100 numbers that are changed the 2 bytes in the file; LoRA's matrices are in no file."""
    changed = (WEIGHTS[0], replace(WEIGHTS[1], bits=bits), WEIGHTS[2])
    found = with_own_memory(replace(PLAIN, weights=changed, machine=Machine(device=device)))
    assert found.memory.get(MAPPED, Memory()).bytes == held


def test_a_file_that_nothing_of_is_in_use_is_not_held() -> None:
    wide = tuple(replace(weight, bits=32) for weight in WEIGHTS)
    assert MAPPED not in with_own_memory(replace(PLAIN, weights=wide)).memory
