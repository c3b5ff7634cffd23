"""What a run will need, for `tunesmith plan`: the estimate as text."""

from __future__ import annotations

from collections.abc import Iterator

from tunesmith_library_estimates.estimation import Estimate, Phase

_WHEN: dict[Phase, str] = {
    "load": "loading",
    "forward": "a forward pass",
    "backward": "a backward pass",
    "step": "a step",
    "generate": "answering",
    "save": "saving",
}

_TRAINING: tuple[Phase, ...] = ("load", "forward", "backward", "step")


def lines(estimate: Estimate) -> Iterator[str]:
    """Parameters, bytes of the phase that needs the most, what a token costs, what share of the
    weights each choice reaches, and what is not in the figures."""
    if estimate.weights:
        phase, peak = estimate.peak
        trained = f"{estimate.trained:,} of them" if estimate.knows_trained else "an unknown number of them"
        yield f"parameters: {estimate.parameters:,}, {trained} trained"
        asked = estimate.sequences * estimate.length
        of_pass = f"{estimate.sequences:,} × {estimate.length:,}"
        of_pass = f"merged: {estimate.tokens:,}" if estimate.tokens > asked else of_pass
        tokens = f" ({of_pass} tokens at most)" if estimate.length else ""
        for what, size in estimate.bytes(phase).items():
            by_token = what in estimate.memory and estimate.memory[what].bytes_per_token
            yield f"{what}: {in_words(size)}{tokens if by_token else ''}"
        sums = {other: sum(estimate.bytes(other).values()) for other in _WHEN}
        own = [other for other in _WHEN if other in _TRAINING or sums[other] not in (sums["load"], sums["step"])]
        rest = [f"{in_words(sums[other])} in {_WHEN[other]}" for other in own if other != phase]
        yield f"peak: {in_words(peak)} in {_WHEN[phase]} ({', '.join(rest)})"
        if estimate.recomputed:
            yield _left_open(estimate, peak)
        if estimate.length:
            yield f"a token costs {estimate.flops / 1e9:,.3g} GFLOP"
    yield from estimate.shares
    for unknown in estimate.unknown:
        yield f"not in it: {unknown}"


def _left_open(estimate: Estimate, peak: float) -> str:
    again, room = estimate.computing_again().peak[1], estimate.machine.room
    if room is None:
        here = "computed again where the other does not fit"
    else:
        what = "kept" if room.holds(peak) else "computed again"
        may = f"{in_words(room.share * room.total)} of {in_words(room.total)} may be filled"
        here = f"here they are {what} at such a batch: {may}"
        here += "" if room.holds(min(peak, again)) else ", which is too little"
    return f"peak with activations computed again: {in_words(again)}; {here}"


def in_words(size: float) -> str:
    """Bytes as people say them, in powers of 1024: 7.9 GB."""
    units, number = ("B", "KB", "MB", "GB", "TB"), 0
    while size >= 999.5 and number < len(units) - 1:
        size, number = size / 1024, number + 1
    return f"{size:.3g} {units[number]}"
