"""Wiring: a fresh plugin manager for the plugins of a plan, checked against the hook specifications, and observed."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pluggy

from tunesmith import hookspecs
from tunesmith.errors import PluginError, TunesmithError, choices
from tunesmith.kinds import EXCLUSIVE, OPTIONAL
from tunesmith.plan import Plan, Selected
from tunesmith.types import Problem


def connect(plan: Plan) -> pluggy.PluginManager:
    """Register the plugins of a plan, each as `kind.name`.

    Raises: PluginError for an implementation that asks for arguments its hook does not have.
    """
    manager = pluggy.PluginManager("tunesmith")
    manager.add_hookspecs(hookspecs)
    for item in plan.selected:
        try:
            manager.register(item.instance, name=item.entry.address)
        except pluggy.PluginValidationError as error:
            raise PluginError(f"{item.entry.address} ({item.entry.origin}): {error}") from error
        for caller in manager.get_hookcallers(item.instance) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is item.instance and not implementation.wrapper:
                    label = f"{caller.name} of {item.entry.address}"
                    implementation.function = _observed(implementation.function, label)
    return manager


def wrong_hooks(plan: Plan, manager: pluggy.PluginManager) -> list[Problem]:
    """Misspelt hooks, and exclusive hooks with no implementation, several, or one of a kind that does not own it."""
    problems = []
    known = [name for name in vars(manager.hook) if hasattr(hookspecs, name)]
    for item in plan.selected:
        for caller in manager.get_hookcallers(item.instance) or ():
            if not caller.has_spec():
                message = f"{_label(item)} implements the hook {caller.name}, which does not exist."
                problems.append(Problem(item.entry.kind, message, choices(caller.name, known)))
    for name, owners in EXCLUSIVE.items():
        problems += _wrong_exclusive(plan, getattr(manager.hook, name), owners)
    return problems


def _wrong_exclusive(plan: Plan, caller: pluggy.HookCaller, owners: tuple[str, ...]) -> list[Problem]:
    instances = [impl.plugin for impl in caller.get_hookimpls() if not (impl.wrapper or impl.hookwrapper)]
    having = [item for item in plan.selected if any(item.instance is instance for instance in instances)]
    problems = [
        Problem(
            item.entry.kind,
            f"{_label(item)} implements {caller.name}, which belongs to the kind {' or '.join(owners)}.",
            "make it a wrapper: @hookimpl(wrapper=True)",
        )
        for item in having
        if item.entry.kind not in owners
    ]
    for kind in owners:
        same = [item for item in having if item.entry.kind == kind]
        if len(same) > 1:
            listed = " and ".join(map(_label, same))
            problems.append(Problem(kind, f"{caller.name} is implemented twice, by {listed}.", f"select one {kind}"))
    default = [item for item in plan.selected if item.entry.kind == owners[-1]]
    if default and not having and caller.name not in OPTIONAL:
        message = f"nothing implements {caller.name}: {_label(default[0])} should."
        problems.append(Problem(owners[-1], message, "tell the authors of the plugin"))
    return problems


def overridden(plan: Plan, manager: pluggy.PluginManager) -> list[str]:
    """The exclusive hooks that a plugin takes over from the kind that has them by default."""
    notices = []
    for name, (first, *others) in EXCLUSIVE.items():
        implementing = {impl.plugin_name for impl in getattr(manager.hook, name).get_hookimpls() if not impl.wrapper}
        over = [f"{kind}.{plan.name(kind)}" for kind in others if f"{kind}.{plan.name(kind)}" in implementing]
        if over and f"{first}.{plan.name(first)}" in implementing:
            notices.append(f"{name}: {first}.{plan.name(first)} (over {over[0]})")
    return notices


def _label(item: Selected) -> str:
    return f"{item.entry.address} ({item.entry.origin})"


def implementations(plan: Plan, manager: pluggy.PluginManager) -> list[tuple[str, list[str]]]:
    """Which plugins implement which hook, in the order of a run; wrappers are marked. The first one listed is called
    first; of an exclusive hook only that one."""
    found = []
    for name in (name for name in vars(hookspecs) if hasattr(manager.hook, name)):
        implementing = getattr(manager.hook, name).get_hookimpls()
        listed = [f"{impl.plugin_name}{' (wraps)' if impl.wrapper else ''}" for impl in reversed(implementing)]
        if listed:
            found.append((name, listed))
    return found


def _observed(function: Callable[..., Any], label: str) -> Callable[..., Any]:
    """Add to an exception which hook of which plugin it left; with TUNESMITH_TRACE=1 print each call and its time."""
    trace = os.environ.get("TUNESMITH_TRACE") == "1"

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments)
        except Exception as error:
            if not isinstance(error, TunesmithError):
                error.add_note(f"while {label}")
            raise
        finally:
            if trace:
                print(f"[tunesmith] {label}: {(time.perf_counter() - start) * 1e3:.1f} ms", file=sys.stderr)

    return call
