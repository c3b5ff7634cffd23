"""The phases of commands: an export has no forward pass, and a conversation saves nothing."""

from dataclasses import replace

import pytest
from tunesmith_library_estimates.estimating import begun
from tunesmith_library_estimates.estimation import PHASES, Estimate, Memory
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.wording import lines
from tunesmith_library_testing.parts import StubPlan

MODEL = (
    Estimate("bf16")
    .plus("weights", Memory(8.0))
    .plus("keys", Memory(2.0, phases=("generate",)))
    .plus("a pass", Memory(5.0, phases=("forward",)))
    .plus("files", Memory(3.0, phases=("save",)))
)


@pytest.mark.parametrize(
    ("command", "phases", "peak"),
    [
        ("train", PHASES, "13 B in a forward pass (8 B in loading, 8 B in a backward pass, 8 B in a step, 10 B in "),
        ("chat", ("load", "generate"), "10 B in answering (8 B in loading)"),
        ("eval", ("load", "forward", "generate"), "13 B in a forward pass (8 B in loading, 10 B in answering)"),
        ("export", ("load", "save"), "11 B in saving (8 B in loading)"),
    ],
)
def test_a_command_has_its_own_phases(command, phases, peak):
    first = begun(StubPlan({}, command), Machine())
    assert first.phases == phases
    (said,) = [line for line in lines(replace(MODEL, phases=first.phases)) if line.startswith("peak")]
    assert said.startswith(f"peak: {peak}")
