"""Wiring: a fresh plugin manager for the plugins of a plan, checked against the hook specifications, and observed."""

from __future__ import annotations

import contextlib
import inspect
import os

import pluggy
from tunesmith import hookspecs
from tunesmith.errors import choices
from tunesmith.kinds import EXCLUSIVE, OF_THE_LOOP, OPTIONAL, ROUTED
from tunesmith.planning import Plan, Selected
from tunesmith.types import Problem
from tunesmith_library_configuration.observing import observed
from tunesmith_library_configuration.problems import without_secondary

_MARK = "tunesmith_impl"  # the attribute by which pluggy knows an implementation


def connect(plan: Plan) -> tuple[pluggy.PluginManager, list[Problem]]:
    """Register the plugins of a plan, each as `kind.name`.

    Returns: the manager, and the plugins that ask for arguments that their hook does not have; those stay out.
    """
    manager, trial = pluggy.PluginManager("tunesmith"), pluggy.PluginManager("tunesmith")
    manager.add_hookspecs(hookspecs)
    trial.add_hookspecs(hookspecs)
    problems = []
    for item in _made(plan):
        try:
            trial.register(item.instance)  # what does not fit would stay half registered
        except pluggy.PluginValidationError as error:
            problems.append(_unfit(item, error))
            continue
        manager.register(item.instance, name=item.entry.address)
        for caller in manager.get_hookcallers(item.instance) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is item.instance:
                    _observe(implementation, f"{caller.name} of {item.entry.address}")
    return manager, problems


def _unfit(item: Selected, error: pluggy.PluginValidationError) -> Problem:
    """What an implementation asks of its hook that the hook does not give."""
    for name in dir(item.instance):
        specified = getattr(hookspecs, name, None) if hasattr(getattr(item.instance, name, None), _MARK) else None
        if specified is not None:
            given = list(inspect.signature(specified).parameters)
            asked = [name for name in inspect.signature(getattr(item.instance, name)).parameters if name not in given]
            if asked:
                message = f"{_label(item)} asks in {name} for {', '.join(asked)}, which the hook does not have."
                return Problem(item.entry.kind, message, choices(asked[0], given))
    return Problem(item.entry.kind, f"{_label(item)} does not fit its hook.", str(error).strip())


def _made(plan: Plan) -> list[Selected]:
    return [item for item in plan.selected if item.instance is not None]


def _registered(plan: Plan, manager: pluggy.PluginManager) -> list[Selected]:
    return [item for item in _made(plan) if manager.has_plugin(item.entry.address)]


def checked(plan: Plan, manager: pluggy.PluginManager, known: list[Problem]) -> list[Problem]:
    """Ask every plugin what else is wrong; one that stumbles over a plan that is known to be broken is not to blame."""
    problems = _of_drafts(plan, known)
    for item in _registered(plan, manager):
        others = [plugin for plugin in manager.get_plugins() if plugin is not item.instance]
        try:
            for found in manager.subset_hook_caller("check", others)(plan=plan):
                problems += found
        except Exception:
            if not any(problem.severity == "error" for problem in known):
                raise
    return problems


def _of_drafts(plan: Plan, known: list[Problem]) -> list[Problem]:
    """What else is wrong with plugins of which something is, beside what follows from it."""
    problems = []
    for item in (item for item in plan.selected if item.draft is not None):
        alone = pluggy.PluginManager("tunesmith")
        with contextlib.suppress(Exception):  # the plan is known to be broken
            alone.add_hookspecs(hookspecs)
            alone.register(item.draft)
            for found in alone.hook.check(plan=plan):
                problems += without_secondary(found, known)
    return problems


def wrong_hooks(plan: Plan, manager: pluggy.PluginManager) -> list[Problem]:
    """Misspelt hooks, and exclusive hooks with no implementation, several, or one of a kind that does not own it."""
    problems = []
    known = [name for name in vars(manager.hook) if hasattr(hookspecs, name)]
    for item in _registered(plan, manager):
        for caller in manager.get_hookcallers(item.instance) or ():
            if not caller.has_spec():
                message = f"{_label(item)} implements the hook {caller.name}, which does not exist."
                problems.append(Problem(item.entry.kind, message, choices(caller.name, known)))
    for name, owners in EXCLUSIVE.items():
        problems += _wrong_exclusive(plan, manager, getattr(manager.hook, name), owners)
    for name, kind in ROUTED.items():
        having = _implementing(getattr(manager.hook, name))
        mine = [item for item in _registered(plan, manager) if item.entry.kind == kind]
        problems += [_lacks(item, name) for item in mine if item.entry.address not in having]
    return problems


def _implementing(caller: pluggy.HookCaller) -> set[str]:
    """The addresses of the plugins that implement a hook, wrappers left out."""
    return {impl.plugin_name for impl in caller.get_hookimpls() if not _wraps(impl)}


def _wraps(implementation: pluggy.HookImpl) -> bool:
    return implementation.wrapper or implementation.hookwrapper


def _lacks(item: Selected, hook: str) -> Problem:
    forgotten = callable(getattr(item.instance, hook, None))
    advice = f"put @hookimpl above its method {hook}" if forgotten else "tell the authors of the plugin"
    return Problem(item.entry.kind, f"nothing implements {hook}: {_label(item)} should.", advice)


def _wrong_exclusive(
    plan: Plan, manager: pluggy.PluginManager, caller: pluggy.HookCaller, owners: tuple[str, ...]
) -> list[Problem]:
    implementing = _implementing(caller)
    having = [item for item in _made(plan) if item.entry.address in implementing]
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
    default = [item for item in _registered(plan, manager) if item.entry.kind == owners[-1]]
    needed = caller.name not in OPTIONAL and not (caller.name in OF_THE_LOOP and _brings_loop(plan, manager))
    if default and not having and needed:
        problems.append(_lacks(default[0], caller.name))
    return problems


def _brings_loop(plan: Plan, manager: pluggy.PluginManager) -> bool:
    """Whether the stage trains with a loop of its own, which need not ask for batches and their loss."""
    return f"stage.{plan.name('stage')}" in _implementing(manager.hook.fit)


def overridden(plan: Plan, manager: pluggy.PluginManager) -> list[str]:
    """The exclusive hooks that a plugin takes over from the kind that has them by default."""
    notices = []
    for name, (first, *others) in EXCLUSIVE.items():
        implementing = _implementing(getattr(manager.hook, name))
        over = [f"{kind}.{plan.name(kind)}" for kind in others if f"{kind}.{plan.name(kind)}" in implementing]
        if over and f"{first}.{plan.name(first)}" in implementing:
            notices.append(f"{name}: {first}.{plan.name(first)} (over {over[0]})")
    return notices


def _label(item: Selected) -> str:
    return f"{item.entry.address} ({item.entry.origin})"


def _observe(implementation: pluggy.HookImpl, label: str) -> None:
    """Note exceptions of a hook, also while its generator runs; with TUNESMITH_TRACE=1 print each call and its time."""
    call = observed(implementation.function, label, os.environ.get("TUNESMITH_TRACE") == "1")
    setattr(implementation, "function", call)  # noqa: B010  (pluggy declares the attribute final, but reads it)
