"""Assembly: from a composition to live plugins with a plugin manager of their own.

Each step takes what the one before gave and returns its own: selection, options, instances, wave by wave as plugins
call others; then the plan of all of them, and the wiring. Everything that is wrong is collected on the way and reported
at once; nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import pluggy
from tunesmith.catalog import Catalog, Entry
from tunesmith.compose import Composition
from tunesmith.errors import PluginError
from tunesmith.instances import checked_options, checked_run, make, required, resolved
from tunesmith.kinds import CONFIGURED, KINDS, ROUTED
from tunesmith.messages import logger
from tunesmith.planning import Plan, Selected, refuse, report, untrainable
from tunesmith.runs import folder_problems, launches, output_folder
from tunesmith.selection import Wanted, missing_problem, select, unrecorded, wanted
from tunesmith.types import Event, Problem, Row
from tunesmith.wiring import checked, connect, overridden, wrong_hooks
from tunesmith_library_configuration.addresses import hub_of
from tunesmith_library_configuration.records import newest_checkpoint
from tunesmith_library_configuration.unused import unused


class Assembly:
    """The plugins of one run, ready to be called."""

    def __init__(self, plan: Plan, manager: pluggy.PluginManager) -> None:
        self.plan = plan
        self.hook = manager.hook
        self._manager = manager
        self._failed: set[str] = set()  # trackers

    def of(self, hook: str, address: str) -> pluggy.HookCaller:
        """The caller of a hook on one plugin alone: `of("to_rows", "format.alpaca")`."""
        plugins = self._manager.list_name_plugin()
        return self._manager.subset_hook_caller(hook, [plugin for other, plugin in plugins if other != address])

    def routed(self, hook: str, name: str) -> pluggy.HookCaller:
        """The caller of a routed hook on the plugin of this name; a file may be named by the end of its path.

        Of several that end alike the one counts that is written in full: `mine.py:X`, not `more/mine.py:X`.
        """
        kind, end = f"{ROUTED[hook]}.", "/" + name.lstrip("./")
        found = [it for it, _ in self._manager.list_name_plugin() if it.replace(kind, "/", 1).endswith(end)]
        if not found:
            raise PluginError(
                f"{hook} of {kind}{name} is called, but no plugin announced it.\n"
                "tell the authors of the plugin that calls it: its requires() must name it"
            )
        return self.of(hook, min(found, key=len))

    def fetch(self, address: str, revision: str | None = None) -> Path:
        """Make a model or data set available locally, through the hub that its address names."""
        hub, rest = hub_of(address, self.plan.run.default_hub)
        return Path(self.routed("fetch", hub)(address=rest, revision=revision))

    def to_rows(self, name: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
        """Turn records into canonical rows, through the format of this name."""
        rows: Iterator[Row] = self.routed("to_rows", name)(records=records, columns=columns)
        return rows

    def tell(self, event: Event) -> None:
        """Tell all who listen what happened. A tracker that fails is reported once, and told further on."""
        for implementation in reversed(self.hook.on_event.get_hookimpls()):
            address = implementation.plugin_name
            try:
                self.of("on_event", address)(event=event)
            except Exception as error:
                if not address.startswith("tracker."):
                    raise
                if address not in self._failed:
                    cause = f"{type(error).__name__}: {error}"
                    logger.warning("%s failed at %s, the run goes on: %s", address, type(event).__name__, cause)
                self._failed.add(address)


def assemble(composition: Composition, command: str, catalog: Catalog | None = None) -> Assembly:
    """Make the plugins that a configuration selects.

    Args:
        composition: what `compose` gave.
        command: train, chat, export, eval, load, show or encode; only the kinds that it needs are selected.
        catalog: where to look for plugins; by default all that are installed.

    Raises: ConfigError that lists all problems.
    """
    plan, problems, manager = examine(composition, command, catalog)
    refuse(problems, plan.origins)
    if not launches(plan):  # else the first process tells
        for notice in (*plan.notices, *overridden(plan, manager)):
            logger.info(notice)
        for warning in problems:
            logger.warning(report([warning], plan.origins))
    manager.hook.configured(plan=plan)
    return Assembly(plan, manager)


def examine(
    composition: Composition, command: str, catalog: Catalog | None = None
) -> tuple[Plan, list[Problem], pluggy.PluginManager]:
    """Do all of `assemble` but refuse: for `tunesmith plan`."""
    plan, problems = _plan(composition, command, catalog or Catalog.discover())
    if command == "train":
        plan = replace(plan, resumed=newest_checkpoint(plan.run.resume, output_folder(plan, composition.file)))
        problems += [*folder_problems(plan, composition.file, problems), *untrainable(plan)]
    manager, unfit = connect(plan)
    problems += [*unfit, *wrong_hooks(plan, manager)]
    problems += checked(plan, manager, problems)
    return plan, problems, manager


def _plan(composition: Composition, command: str, catalog: Catalog) -> tuple[Plan, list[Problem]]:
    """Select, check and make plugins, and then those that they call by name, until nobody calls for more."""
    wave, lacking = wanted(composition, command, catalog)
    made = checked_run(composition, command, catalog)
    known: set[tuple[str, str]] = set()
    absent: dict[Wanted, str] = {}
    problems = [*lacking]
    notices: list[str] = []
    while True:
        known |= {(item.kind, item.name) for item in wave}
        selection = select(wave, composition, catalog)
        made, choices = checked_options(made, selection, composition)
        made = make(made, choices, catalog)
        absent |= selection.absent
        wave, conflicts = required(made, known)
        problems += [*selection.problems, *conflicts]
        notices += selection.notices
        if not wave:
            break
    problems = [*composition.problems, *made.problems, *problems]
    missing = {item: distribution for item, distribution in absent.items() if distribution}
    if missing:
        problems.append(missing_problem(missing, composition))
    order = {kind: number for number, kind in enumerate(KINDS)}
    unknown = (Selected(Entry(item.kind, item.name), None) for item in absent)
    selected = tuple(sorted((*made.selected, *unknown), key=lambda item: order[item.entry.kind]))
    config, origins = resolved(made, composition, command), {**composition.origins, **made.origins}
    notices += [*made.notices, *_of_another_command(composition, command), *unrecorded(composition, command, catalog)]
    notices += _without_use(composition, command, {item.entry.kind for item in selected})
    told = (*composition.notices, *notices)
    return Plan(command, made.run, selected, config, origins, told, catalog), problems


def _without_use(composition: Composition, command: str, used: Set[str]) -> Iterator[str]:
    """What to say of options on the command line that a command does not use; a run keeps them for later ones."""
    return unused(composition.origins, CONFIGURED if command in ("chat", "eval", "export") else (), used, command)


def _of_another_command(composition: Composition, command: str) -> Iterator[str]:
    """What to say of a foreign configuration that is called with another command than the one it is for."""
    if composition.command not in (None, command) and command not in ("load", "show", "encode"):
        yield f"{composition.file or 'the configuration'} is for: tunesmith {composition.command}"
