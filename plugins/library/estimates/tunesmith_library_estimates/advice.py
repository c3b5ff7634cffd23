"""Which changes of a configuration make its run fit: each is composed, checked and estimated like the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tunesmith.kinds import KINDS
from tunesmith.planning import Plan
from tunesmith.traits import traits_of

from tunesmith_library_estimates.changes import COSTS, Change, Cost
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.verdict import Verdict, verdict

Trial = Callable[[Sequence[str]], Estimate | None]
"""The estimate with overrides behind the present ones; None where something is wrong with them."""

# What selecting another plugin of a kind costs, where its class does not say so itself in `lighter`.
_BY_KIND: dict[str, tuple[Cost, str]] = {
    "quantizer": ("exactness", "the base model's weights are rounded"),
    "optimizer": ("method", "another optimizer, which may ask for another learning rate"),
    "adapter": ("method", "other weights are trained"),
}
_PROCESSES = (2, 4, 8)
_HELPS = 0.99  # of what was needed, at most
_ALIKE = 3  # other plugins of a kind that are named
_ROUNDS = 4  # changes that are named together, at most
_DEAREST = len(COSTS) - 1


@dataclass(frozen=True)
class Advised:
    """A change that was tried, and what the run would then need."""

    change: Change
    found: Verdict
    together: bool = False  # whether it is several changes, of which none is enough


def advised(plan: Plan, estimate: Estimate, guess: Trial, trial: Trial) -> list[Advised]:
    """The single changes with which the run fits, those that cost least first; where there is none, the fewest
    changes that do it together, or where nothing does, those that come nearest; [] where nothing makes it need less.

    Of changes to the same options the smallest that is enough is given, of other plugins of a kind the best few.

    Args:
        guess: a quick trial that checks nothing; what it does not know is tried as a configuration.
        trial: by composing, checking and estimating.
    """
    before = verdict(estimate)
    if before is None:
        return []
    candidates, enough = list(_candidates(plan, estimate)), []
    done: dict[tuple[str, ...], int] = {}
    for item in _guessed(candidates, before, guess, trial):
        keys = _keys(item.change)
        if not item.found.fits or done.get(keys, 0) >= (_ALIKE if keys[0] in KINDS else 1):
            continue
        found = _tried(item.change, trial)
        if found is not None and found.fits:
            done[keys] = done.get(keys, 0) + 1
            enough.append(Advised(item.change, found))
    return enough or _together(candidates, before, guess, trial)


def _guessed(changes: Iterable[Change], before: Verdict, guess: Trial, trial: Trial) -> Iterator[Advised]:
    """The changes that help, the cheapest first, then the one that a plugin offered first."""
    for change in sorted(changes, key=lambda change: COSTS.index(change.cost)):
        found = _tried(change, guess) or _tried(change, trial)
        if found is not None and (found.peak < _HELPS * before.peak or found.host_peak < _HELPS * before.host_peak):
            yield Advised(change, found)


def _candidates(plan: Plan, estimate: Estimate) -> Iterator[Change]:
    """What the plugins of the plan offer, and the others that are installed."""
    yield from estimate.changes
    for kind in ("quantizer", "optimizer", "adapter", "patch", "parallel"):
        for name, cls in plan.installed(kind).items():
            if not plan.uses(kind, name):
                yield from _selecting(plan, estimate, kind, name, cls)


def _selecting(plan: Plan, estimate: Estimate, kind: str, name: str, cls: type) -> Iterator[Change]:
    own: Iterable[Change] | None = getattr(cls, "lighter", None)
    if own is not None:
        yield from own
    elif kind in _BY_KIND:
        cost, costs = _BY_KIND[kind]
        yield Change((f"{kind}={name}",), cost, costs)
    elif kind == "parallel" and not plan.uses(kind) and traits_of(kind, cls).spreads:
        place = () if plan.run.output_dir else ("output_dir=runs/spread",)
        there, shared = estimate.machine.count, "devices, which share what one would have"
        if there > 1:
            yield Change((f"parallel={name}", *place), "nothing", f"all {there} {shared}")
        for count in (count for count in _PROCESSES if count > there):
            overrides = (f"parallel={name}", f"parallel.processes={count}", *place)
            yield Change(overrides, "hardware", f"{count} {shared}")


def _together(changes: Sequence[Change], before: Verdict, guess: Trial, trial: Trial) -> list[Advised]:
    """The changes that fit together where none does alone: in each round the one that fits and costs least, or that
    saves most. Those that turn out not to be needed are left out again, the dearest first."""
    chosen: list[Change] = []
    last = before
    while len(chosen) < _ROUNDS and not last.fits:
        added = _next(changes, chosen, last, guess, trial)
        if added is None:
            break
        chosen, last = [*chosen, added.change], added.found
    if not chosen:
        return []
    for change in sorted(chosen, key=lambda change: -COSTS.index(change.cost)) if len(chosen) > 1 else []:
        fewer = [other for other in chosen if other is not change]
        found = _tried(_joined(fewer), trial) if fewer else None
        if found is not None and (found.fits if last.fits else found.peak <= last.peak):
            chosen, last = fewer, found
    return [Advised(_joined(chosen), last, together=len(chosen) > 1)]


def _next(
    changes: Sequence[Change], chosen: Sequence[Change], last: Verdict, guess: Trial, trial: Trial
) -> Advised | None:
    """The change to be made beside those that were chosen, and what is needed with all of them."""
    guessed: list[tuple[bool, int, float, int]] = []
    for number, change in enumerate(changes):
        found = None if _conflicts(change, chosen) else _tried(_joined([*chosen, change]), guess)
        if found is not None and found.peak < _HELPS * last.peak:
            cost = COSTS.index(change.cost)
            guessed.append((not found.fits, cost if found.fits else cost == _DEAREST, found.peak, number))
    for *_, number in sorted(guessed):
        found = _tried(_joined([*chosen, changes[number]]), trial)
        if found is not None and found.peak < _HELPS * last.peak:
            return Advised(changes[number], found)
    return None


def _conflicts(change: Change, chosen: Sequence[Change]) -> bool:
    """Whether one of these selects the plugin, or sets the option, that another one does."""
    keys = {key for other in chosen for key in _keys(other)}
    return any(
        own == key or own.startswith(f"{key}.") or key.startswith(f"{own}.") for own in _keys(change) for key in keys
    )


def _joined(changes: Sequence[Change]) -> Change:
    cost = max((change.cost for change in changes), key=COSTS.index)
    overrides = tuple(override for change in changes for override in change.overrides)
    return Change(overrides, cost, "; ".join(change.costs for change in changes))


def _tried(change: Change, trial: Trial) -> Verdict | None:
    found = trial(change.overrides)
    return None if found is None else verdict(found)


def _keys(change: Change) -> tuple[str, ...]:
    """The options that a change is made to."""
    return tuple(sorted(override.partition("=")[0] for override in change.overrides))
