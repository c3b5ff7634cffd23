"""What is impossible in an estimate, for the suites of kinds whose plugins say what they cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tunesmith.kinds import KINDS
from tunesmith_library_estimates.cache import Cache
from tunesmith_library_estimates.changes import COSTS
from tunesmith_library_estimates.estimation import PHASES, Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room

from tunesmith_library_testing.parts import StubPlan

if TYPE_CHECKING:
    from tunesmith_library_testing.suites.plugin import PluginSuite


def check_estimate(suite: PluginSuite, command: str) -> None:
    """Fail where a plugin says something impossible of what it costs; skip where it says nothing."""
    if "estimate" not in suite.hooks():
        pytest.skip(f"this {suite.kind} says nothing of what it costs")
    plan, before = StubPlan({suite.kind: {"this": suite.make()}}, command), small_estimate()
    (found,) = suite.manager().hook.estimate(estimate=before, plan=plan)
    assert not list(impossible(before, found))
    check_changes(suite, found)


def check_changes(suite: PluginSuite, estimate: Estimate) -> None:
    """Fail where a plugin offers a change to an option of its own kind that it does not have: it would be dropped."""
    options = {field.name for field in dataclasses.fields(suite.make())}
    for text in (text for change in estimate.changes for text in change.overrides):
        kind, *rest = text.partition("=")[0].split(".")
        place = int(KINDS[suite.kind].many)
        if kind == suite.kind and len(rest) > place:
            assert rest[place] in options, f"{text} is offered, and there is no such option: {', '.join(options)}"


def small_estimate() -> Estimate:
    """The estimate of a model of one layer, as the plugins of a run get it that come after the trainer's."""
    weights = (
        Weight("model.embed_tokens.weight", (128, 16), "embedding", 16),
        Weight("model.layers.0.self_attn.q_proj.weight", (16, 16), "linear", 16, trained=True),
        Weight("model.norm.weight", (16,), "norm", 16),
    )
    return Estimate(
        "bf16",
        weights,
        hidden_size=16,
        vocabulary=128,
        sequences=2,
        cache=Cache(((32, 0),), context=512),
        machine=Machine(device="cuda", room=Room(24 * 2**30, 0.85)),
        flops_per_token=2.0 * 256,
    )


def impossible(before: Estimate, after: Estimate) -> Iterator[str]:
    """What cannot be, in an estimate that a plugin made of another."""
    for what, memory in after.memory.items():
        if not (math.isfinite(memory.bytes) and math.isfinite(memory.bytes_per_token)):
            yield f"memory for {what}: no number"
        if not memory.phases or set(memory.phases) - set(PHASES):
            yield f"memory for {what}: in no phase, or in one that there is not"
    if any(size < 0 for phase in PHASES for size in (sum(after.bytes(phase).values()), after.host_peak)):
        yield "a phase that takes less than nothing"
    for what, work in after.work.items():
        if not all(0 <= each < math.inf for each in (work.flops, work.bytes, work.sent, work.seconds)):
            yield f"work for {what}: no number"
    yield from (f"{what} on the disk: no size" for what, size in after.disk.items() if not 0 <= size < math.inf)
    for change in after.changes:
        if change.cost not in COSTS or not change.costs or not all("=" in text for text in change.overrides):
            yield f"the change {change.overrides}: no override, or no price"
    if set(before.unknown) - set(after.unknown) and not after.memory:
        yield "what others do not know is forgotten"
