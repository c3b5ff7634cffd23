"""What a run will need, for `tunesmith plan`: the estimate as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunesmith_library_estimates.advice import Advised
from tunesmith_library_estimates.estimation import Estimate, Memory, Phase
from tunesmith_library_estimates.sizes import duration, in_words
from tunesmith_library_estimates.times import time_of
from tunesmith_library_estimates.training import OF_EVALUATION
from tunesmith_library_estimates.verdict import verdict

_WHEN: dict[Phase, str] = {
    "load": "loading",
    "forward": "a forward pass",
    "backward": "a backward pass",
    "step": "a step",
    "generate": "answering",
    "save": "saving",
}
_NOT_MEASURED = "no run here has told how fast this is: right to a factor of two"
_TRAINING: tuple[Phase, ...] = ("load", "forward", "backward", "step")
_COSTS = {
    "nothing": "costs nothing",
    "time": "costs time",
    "exactness": "is less exact",
    "method": "trains otherwise",
    "hardware": "needs more devices",
}

MESSAGES = (  # what `plan` prints line by line
    *("parameters: {count}, {trained} of them trained", "parameters: {count}, an unknown number of them trained"),
    *("a token costs {flops} GFLOP", "disk: {size} ({parts})", "not in it: {unknown}"),
    *("{what}: {size} ({tokens} tokens at most)", "peak: {size} in {when} ({rest})"),
    "peak of each of {processes} processes: {size} in {when} ({rest})",
    "peak with activations computed again: {again}; so they are where the other does not fit",
    "{idle} of {count} devices stand idle: parallel=ddp or parallel=fsdp trains on all",
    *("in the host's memory: {size} ({parts})", "data: {examples} examples ({source})"),
    *("data: {examples} examples of {tokens} tokens on average ({source})", "time: {total} ({rest}; {sure})"),
    *("steps: {steps} steps of {tokens} tokens, {time} each, {bound}"),
    *("whether it fits is not known: {why}", "what is needed is not known", "the memory of {where} is not known"),
    "does not fit in {there}: peak {peak}, {more} more than the {may} that may be filled",
    "does not fit in the memory of the host: {needed} are needed of its {total} ({peak} of {there} on the device)",
    "fits in {there}: peak {peak}, {less} less than may be filled",
    "fits in {there}: peak {peak}, {less} less than may be filled; without what is not in it",
    "no change that the installed plugins offer makes it need less",
    "no change that the installed plugins offer makes it fit; what comes nearest:",
    *("no single change makes it fit; together these do:", "each of these makes it fit, the cheapest first:"),
    "peak {size}; {cost}: {costs}",
    *("costs nothing", "costs time", "is less exact", "trains otherwise", "needs more devices"),
    *("# what it needs (estimated), on {machine}", "weights: {size}", "gradients: {size}", "logits: {size}"),
    *(
        "activations: {size}",
        "activations: {size} ({tokens} tokens at most)",
        "logits: {size} ({tokens} tokens at most)",
    ),
    *("{size} in loading", "{size} in a forward pass", "{size} in a backward pass", "{size} in a step"),
    *("{size} in answering", "{size} in an evaluation", "{size} in saving", "a forward pass", "a backward pass"),
    *("a step", "an evaluation", "loading {time}", "training {time}", "evaluation {time}", "other passes {time}"),
    *("saving {time}", "corrected by {runs} runs here", "corrected by 1 run here", _NOT_MEASURED, "encoded before"),
    *("encoded data {size}", "result {size}", "checkpoint {size}", "guessed by the first {count} records"),
    *("products of matrices", "reading and writing memory", "calls of operations"),
    *("what goes between devices, or is waited for", "merged: {count}", "1 example", "this machine"),
    "activations: kept, for they fit",
    "activations: computed again in the backward pass; kept, the peak would be {size}",
)


def lines(estimate: Estimate) -> Iterator[str]:
    """Parameters, bytes of the phase that needs the most, what a token costs, what is written to the disk, what share
    of the weights each choice reaches, and what is not in the figures."""
    if estimate.weights:
        trained = f"{estimate.trained:,} of them" if estimate.knows_trained else "an unknown number of them"
        yield f"parameters: {estimate.parameters:,}, {trained} trained"
    if estimate.weights or estimate.memory:
        yield from _memory(estimate)
    if estimate.weights and estimate.length:
        flops = estimate.flops / 1e9
        yield f"a token costs {flops:,.0f} GFLOP" if flops >= 100 else f"a token costs {flops:.3g} GFLOP"
    yield from _time(estimate)
    written = {what: size for what, size in estimate.disk.items() if size}
    if written:
        parts = ", ".join(f"{what} {in_words(size)}" for what, size in written.items())
        yield f"disk: {in_words(sum(written.values()))} ({parts})"
    yield from estimate.shares
    for unknown in estimate.unknown:
        yield f"not in it: {unknown}"


def _memory(estimate: Estimate) -> Iterator[str]:
    phase, peak = estimate.peak
    asked = estimate.sequences * estimate.length
    of_pass = f"{estimate.sequences:,} × {estimate.length:,}"
    of_pass = of_pass if estimate.tokens == asked else f"{estimate.tokens:,}"
    of_pass = f"merged: {estimate.tokens:,}" if estimate.tokens > asked > 0 else of_pass
    tokens = f" ({of_pass} tokens at most)" if estimate.tokens else ""
    for what, size in estimate.bytes(phase).items():
        of = estimate.memory.get(what, Memory())
        by_token = of.bytes_per_token or of.bytes_per_pair
        if size:
            yield f"{what}: {in_words(size)}{tokens if by_token else ''}"
    sums = {other: sum(estimate.bytes(other).values()) for other in estimate.phases}
    every: tuple[Phase, ...] = _TRAINING if "step" in estimate.phases else ("load",)
    own = [other for other in estimate.phases if other in every or _is_of_its_own(estimate, other)]
    when = {**_WHEN, "generate": "an evaluation"} if OF_EVALUATION in estimate.memory else _WHEN
    rest = [f"{in_words(sums[other])} in {when[other]}" for other in own if other != phase]
    each = f" of each of {estimate.processes:,} processes" if estimate.processes > 1 else ""
    yield f"peak{each}: {in_words(peak)} in {when[phase]} ({', '.join(rest)})"
    if estimate.recomputed:
        again = in_words(estimate.computing_again().peak[1])
        yield f"peak with activations computed again: {again}; so they are where the other does not fit"
    if estimate.machine.count > 1 and estimate.processes == 1 and estimate.trained:
        idle = estimate.machine.count - 1
        yield f"{idle} of {estimate.machine.count} devices stand idle: parallel=ddp or parallel=fsdp trains on all"
    if estimate.host_peak:
        highest = max(estimate.phases, key=lambda when: sum(estimate.bytes(when, on_host=True).values()))
        parts = [f"{what} {in_words(size)}" for what, size in estimate.bytes(highest, on_host=True).items() if size]
        yield f"in the host's memory: {in_words(estimate.host_peak)} ({', '.join(parts)})"


def _is_of_its_own(estimate: Estimate, phase: Phase) -> bool:
    """Whether something is there in a phase that no step has."""
    return any(phase in memory.phases and "step" not in memory.phases for memory in estimate.memory.values())


def _time(estimate: Estimate) -> Iterator[str]:
    """How much is trained on, and how long that takes."""
    data, found = estimate.data, time_of(estimate)
    if data.examples is not None:
        each = f" of {data.tokens:,.0f} tokens on average" if data.tokens else ""
        yield f"data: {data.examples:,} examples{each} ({data.source})"
    if found is None or found.total is None:
        return
    parts = {"loading": found.loading, "training": found.training, "evaluation": found.evaluation}
    parts |= {"other passes": found.other, "saving": found.saving}
    rest = ", ".join(f"{what} {duration(seconds)}" for what, seconds in parts.items() if seconds and seconds >= 0.5)
    tokens = f" of {found.tokens / found.steps:,.0f} tokens" if found.tokens and found.steps else ""
    steps = f"{found.steps:,} steps{tokens}, {duration(found.step)} each, {found.bound}" if found.steps else ""
    sure = f"corrected by {found.runs} run{'s' if found.runs > 1 else ''} here" if found.runs else _NOT_MEASURED
    yield f"time: {duration(found.total)} ({rest}; {sure})"
    if steps:
        yield f"steps: {steps}"


def conclusion(estimate: Estimate) -> str:
    """Whether it fits, and by how much, as a sentence."""
    found, where = verdict(estimate), estimate.machine.name or "this machine"
    if found is None:
        why = "what is needed is not known" if estimate.machine.is_known else f"the memory of {where} is not known"
        return f"whether it fits is not known: {why}"
    total, may = found.room.total, found.room.share * found.room.total
    there, peak = in_words(total), in_words(found.peak)
    if not found.room.holds(found.peak):
        more = f"{in_words(found.missing)} more than the {in_words(may)} that may be filled"
        return f"does not fit in {there}: peak {peak}, {more}"
    if not found.fits and found.host is not None:
        of_host = f"{in_words(found.host_peak)} are needed of its {in_words(found.host.total)}"
        return f"does not fit in the memory of the host: {of_host} ({peak} of {there} on the device)"
    rest = "" if not estimate.unknown else "; without what is not in it"
    return f"fits in {there}: peak {peak}, {in_words(may - found.peak)} less than may be filled{rest}"


def advice(estimate: Estimate, changes: Sequence[Advised]) -> Iterator[str]:
    """What would make it fit, each as the overrides to type; nothing where it does."""
    found = verdict(estimate)
    if found is None or found.fits:
        return
    if not changes:
        yield "no change that the installed plugins offer makes it need less"
        return
    if not changes[0].found.fits:
        yield "no change that the installed plugins offer makes it fit; what comes nearest:"
    elif changes[0].together:
        yield "no single change makes it fit; together these do:"
    else:
        yield "each of these makes it fit, the cheapest first:"
    for item in changes:
        yield f"  {' '.join(item.change.overrides)}"
        yield f"    peak {in_words(item.found.peak)}; {_COSTS[item.change.cost]}: {item.change.costs}"
