"""Estimates: their sums, and how they read."""

import dataclasses
import os

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.catalog import Entry
from tunesmith.planning import Plan, RunOptions, Selected
from tunesmith_library_estimates import room
from tunesmith_library_estimates.estimating import ended, estimated
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_estimates.wording import lines


def test_sums():
    """A worked example: two weights, memory that grows with the tokens, and a peak where the most comes together."""
    weights = (Weight("a", (10, 10), "linear", 4.5), Weight("b", (10,), "norm", 32, trained=True))
    made = Estimate("bf16", weights, sequences=2, length=5, flops_per_token=100, flops_per_pair=4, passes=3)
    made = made.plus("activations", Memory(bytes_per_token=7, phases=("forward",)))
    made = made.plus("gradients", Memory(40, phases=("backward", "step"))).plus("optimizer", Memory(80, 0, ("step",)))
    assert made.parameters == 110 and made.trained == 10
    assert made.bytes("load") == {"weights": 100 * 4.5 / 8 + 40}
    assert made.bytes("forward") == {"weights": 96.25, "activations": 70}
    assert made.peak == ("step", 96.25 + 40 + 80)
    assert made.flops == 3 * (100 + 4 * 3), "a token of 5 looks at 3 on average, itself included"
    assert made.plus("optimizer", Memory()).peak == ("forward", 166.25)
    assert made.without("x", "y").unknown == ("x", "y")


def test_in_words():
    weights = (Weight("a", (1024, 1024), "linear", 16), Weight("b", (1024,), "norm", 32, trained=True))
    made = Estimate("bf16", weights, sequences=8, length=2048, flops_per_token=1e9, passes=3).without("the rest")
    made = made.plus("activations", Memory(bytes_per_token=2**17, phases=("forward",))).plus("states", Memory(2**30))
    assert list(lines(made)) == [
        "parameters: 1,049,600, 1,024 of them trained",
        "weights: 2 MB",
        "activations: 2 GB (8 × 2,048 tokens at most)",
        "states: 1 GB",
        "peak: 3 GB in a forward pass (1 GB in loading, 1 GB in a backward pass, 1 GB in a step)",
        "a token costs 3 GFLOP",
        "not in it: the rest",
    ]
    assert list(lines(Estimate("bf16", unknown=("the model",)))) == ["not in it: the model"]
    assert [in_words(size) for size in (0, 999, 1000, 7.9 * 2**30)] == ["0 B", "999 B", "0.977 KB", "7.9 GB"]


@plugin
class Model:
    @hookimpl
    def estimate(self, estimate):
        return Estimate("bf16", (Weight("a", (10, 10), "linear", 16),))


@plugin
class Silent:
    """An adapter that says nothing of what it trains."""


@plugin
class Unchanged:
    """An adapter that says no more of it."""

    @hookimpl
    def estimate(self, estimate):
        return estimate


@pytest.mark.parametrize("adapter", [Silent, Unchanged])
@pytest.mark.parametrize("command", ["train", "chat"])
def test_what_is_trained_is_unknown_where_nobody_says(adapter, command):
    selected = tuple(Selected(Entry(kind, "x"), cls()) for kind, cls in (("model", Model), ("adapter", adapter)))
    first, *_, last = lines(estimated(Plan(command, RunOptions(), selected, {})))
    if command == "train":
        assert first == "parameters: 100, an unknown number of them trained"
        assert last == "not in it: gradients and optimizer states: no plugin says which weights are trained"
    else:
        assert first == "parameters: 100, 0 of them trained"


@plugin
class LinearLayersAlone:
    """A quantizer that says nothing of what it covers."""

    skip_modules: list[str] = []


@pytest.mark.parametrize(("skip", "covered"), [([], 60), (["down"], 40)])
def test_a_quantizer_that_says_nothing_is_taken_to_leave_experts_as_they_are(skip, covered):
    """40 and 20 numbers in linear layers, 100 in experts, 40 in the head, and embeddings that do not count."""

    @plugin
    class Mixture:
        @hookimpl
        def estimate(self, estimate):
            sizes = {"layers.0.up.weight": (4, 10), "layers.0.down.weight": (2, 10), "embed.weight": (100, 4)}
            kinds = ("linear", "linear", "embedding")
            weights = [Weight(name, size, kind, 16) for (name, size), kind in zip(sizes.items(), kinds, strict=True)]
            weights += [
                Weight("layers.0.experts.w", (5, 4, 5), "experts", 16),
                Weight("head.weight", (10, 4), "head", 16),
            ]
            return Estimate("bf16", tuple(weights))

    pairs = (("model", Mixture()), ("quantizer", LinearLayersAlone(skip_modules=skip)))
    selected = tuple(Selected(Entry(kind, "x"), instance) for kind, instance in pairs)
    (said,) = estimated(Plan("chat", RunOptions(), selected, {})).shares
    reached = f"{covered / 2:.0f}% of the weights (not: experts.w (50%), head (20%)"
    assert said.startswith(f"quantizer, if it takes linear layers alone: {reached}")


def test_no_share_that_is_not_whole_is_called_100():
    weights = (Weight("a.weight", (1000, 1000), "linear", 16), Weight("b.weight", (2, 2), "linear", 16))
    (said,) = Estimate("bf16", weights).reaching("adapter", {"a.weight"}).shares
    assert said == "adapter: 99.99% of the weights (not: b (0.01%))"
    (said,) = Estimate("bf16", weights).reaching("adapter", {"a.weight", "b.weight"}).shares
    assert said == "adapter: 100% of the weights (none is left out)"


@pytest.mark.parametrize(("accumulated", "merged", "tokens"), [(1, 0, 100), (8, 250, 250), (2, 250, 200), (8, 50, 100)])
def test_passes_that_are_merged(accumulated, merged, tokens):
    """No more than a step has, and never less than was asked for."""
    made = Estimate("fp32", sequences=2, length=50, accumulated=accumulated, merged=merged)
    made = made.plus("activations", Memory(0, 10, ("forward",)))
    made = dataclasses.replace(made, weights=(Weight("a", (1,), "norm", 32),))
    assert made.tokens == tokens
    (line,) = [line for line in lines(made) if line.startswith("activations")]
    assert line.endswith("(2 × 50 tokens at most)" if tokens == 100 else f"(merged: {tokens} tokens at most)")


@pytest.mark.parametrize(
    ("there", "peak", "said"),
    [
        (Room(8 * 2**30, 0.85), 6 * 2**30, "activations: kept, for they fit"),
        (Room(8 * 2**30, 0.5), 2**31, "activations: computed again in the backward pass; kept, the peak would be 6 GB"),
        (Room(2**31, 0.5), 2**31, "activations: computed again in the backward pass; kept, the peak would be 6 GB"),
    ],
)
def test_what_is_left_open_is_decided_as_a_run_decides(there, peak, said):
    """Activations are kept where that fits, and cost another pass where it does not."""
    weights = (
        Weight("model.layers.0.a.weight", (1, 1), "linear", 32, trained=True),
        Weight("model.norm.weight", (1,), "norm", 32, trained=True),
    )
    made = Estimate("bf16", weights, machine=Machine(device="other", room=there), passes=3)
    made = made.plus("activations", Memory(6 * 2**30, phases=("forward",)))
    again = {
        "activations": Memory(2**30, phases=("forward",)),
        "one layer": Memory(2**31, phases=("backward",)),
    }
    found = ended(dataclasses.replace(made, recomputed=again), Plan("chat", RunOptions(), (), {}))
    assert found.peak[1] == peak + 8 and said in found.shares and not found.recomputed
    assert found.passes == (3 if "kept, for" in said else 4) and found.computes_again == ("again" in said)
    unknown = dataclasses.replace(made, recomputed=again, machine=Machine())
    (line,) = [line for line in lines(unknown) if line.startswith("peak with activations computed again")]
    assert line == "peak with activations computed again: 2 GB; so they are where the other does not fit"


@pytest.mark.parametrize(("total", "tokens"), [(2_000, 800), (1_100, 800), (1_000, 400), (500, 200), (250, 100)])
def test_passes_are_merged_as_far_as_memory_holds_them_amply(total, tokens):
    """A byte a token; 800 of them need 4/3 of 800, and each half as many half of that. What was asked for stays."""
    made = Estimate("fp32", sequences=1, length=100, accumulated=8, merged=800, machine=Machine(room=Room(total, 1.0)))
    made = made.plus("activations", Memory(0, 1, ("forward",), "activations"))
    assert ended(made, Plan("chat", RunOptions(), (), {})).tokens == tokens


def test_the_memory_of_a_machine(monkeypatch, tmp_path):
    """The limits of a container and of groups of processes count where they are lower; one without says `max`."""
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}[name])
    first, second, own = (
        tmp_path / name for name in ("memory.max", "memory/memory.limit_in_bytes", "jobs/7/step/memory.max")
    )
    monkeypatch.setattr(room, "_GROUPS", tmp_path)
    monkeypatch.setattr(room, "_PROCESS", tmp_path / "cgroup")
    for file in (second, own):
        file.parent.mkdir(parents=True)
    first.write_text("max\n")
    assert room.of_host().total == 4_096_000
    second.write_text("1000000\n")
    assert room.of_host(processes=4).total == 250_000
    found = room.of_host()
    assert found.holds(500_000) and not found.holds(500_001)
    (tmp_path / "cgroup").write_text("4:cpuset:/none\n0::/jobs/7/step/task\n")
    own.write_text("800000\n")
    assert room.of_host().total == 800_000, "of a group around it"
    (tmp_path / "jobs" / "memory.max").write_text("700000\n")
    assert room.of_host().total == 700_000
