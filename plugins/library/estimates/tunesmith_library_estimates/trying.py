"""Trying changes of a plan at once: plugins are exchanged, or their options, and only those behind them are asked anew.

What is found so is not checked: it says which changes are worth to be composed and checked as a configuration is.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tunesmith.catalog import Entry
from tunesmith.kinds import CONFIGURED, KINDS
from tunesmith.planning import Plan, Selected
from tunesmith_library_configuration.overrides import Override, read_overrides

from tunesmith_library_estimates.at_once import settled_at_once
from tunesmith_library_estimates.estimating import asked, begun, ended
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine


class Trials:
    """Estimates of a plan with changes."""

    def __init__(self, plan: Plan, machine: Machine | None) -> None:
        self.plan = plan
        first = begun(plan, machine)
        self.given: list[Estimate] = []  # what each plugin is given
        self.estimate = settled_at_once(lambda at_once: self._asked(plan, 0, replace(first, at_once=at_once)))
        made = first
        for item in plan.selected:
            self.given.append(made)
            made = asked(item, made, plan)

    def tried(self, overrides: Sequence[str]) -> Estimate | None:
        """The estimate with overrides; None where they cannot be tried so."""
        try:
            plan = changed(self.plan, read_overrides(list(overrides)))
            if plan is None:
                return None
            place = next(
                number
                for number, (item, old) in enumerate(itertools.zip_longest(plan.selected, self.plan.selected))
                if item is not old or item.entry.kind == "trainer"  # who asks how many go through at once
            )
            first = self.given[min(place, len(self.given) - 1)]
            return settled_at_once(lambda at_once: self._asked(plan, place, replace(first, at_once=at_once)))
        except Exception:  # of a plugin that was given what no check let through
            return None

    @staticmethod
    def _asked(plan: Plan, place: int, estimate: Estimate) -> Estimate:
        """The estimate of a plan, of which those before a place were asked."""
        for item in plan.selected[place:]:
            estimate = asked(item, estimate, plan)
        return ended(estimate, plan)


def changed(plan: Plan, overrides: Sequence[Override]) -> Plan | None:
    """A plan with other plugins or options; None where that takes more than to exchange them."""
    selected, config = list(plan.selected), dict(plan.config)
    for override in overrides:
        kind, *rest = map(str, override.key)
        if kind == "output_dir":
            continue
        if kind not in CONFIGURED or override.adds:
            return None
        if len(rest) == KINDS[kind].many:
            item = _selected(plan, kind, str(rest[0] if rest else override.value))
        else:
            item = _with_option(selected, kind, rest, override.value)
        if item is None:
            return None
        selected = _put(selected, item)
        config[kind] = _options(item, config.get(kind))
    return replace(plan, selected=tuple(selected), config=config)


def _selected(plan: Plan, kind: str, name: str) -> Selected | None:
    """An installed plugin with its default options."""
    cls = plan.installed(kind).get(name)
    return None if cls is None else Selected(Entry(kind, name), cls())


def _with_option(selected: Sequence[Selected], kind: str, rest: Sequence[str], value: Any) -> Selected | None:
    """A selected plugin with another value of an option."""
    *names, option = rest
    found = [item for item in selected if item.entry.kind == kind and (not names or item.entry.name == names[0])]
    if len(found) != 1 or len(names) != KINDS[kind].many or not hasattr(found[0].instance, option):
        return None
    instance = copy.copy(found[0].instance)
    setattr(instance, option, value)
    return Selected(found[0].entry, instance)


def _put(selected: Sequence[Selected], item: Selected) -> list[Selected]:
    """The plugins with another one, in the place of that of its kind, or of its name."""
    kind = item.entry.kind
    kept = [
        other
        for other in selected
        if other.entry.kind != kind or (KINDS[kind].many and other.entry.name != item.entry.name)
    ]
    order = list(KINDS)
    return sorted([*kept, item], key=lambda other: order.index(other.entry.kind))


def _options(item: Selected, former: Any) -> Any:
    """What the configuration has of a plugin."""
    names = [field.name for field in dataclasses.fields(item.instance) if not field.name.startswith("_")]
    own = {name: getattr(item.instance, name) for name in names}
    if KINDS[item.entry.kind].many:
        return {**(former or {}), item.entry.name: own}
    return {"name": item.entry.name, **own}
