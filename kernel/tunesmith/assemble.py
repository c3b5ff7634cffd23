"""Assembly: from a composition to live plugins with a plugin manager of their own.

Everything that is wrong is collected, from misspelt keys to conflicts between plugins, and reported at once; nothing
heavy is imported on the way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from tunesmith.addresses import hub_of
from tunesmith.capable import untrainable
from tunesmith.catalog import Catalog, Entry, MissingPluginError
from tunesmith.compose import Composition
from tunesmith.errors import PluginError, TunesmithError, choices
from tunesmith.kinds import CONFIGURED, KINDS, ROUTED, Kind
from tunesmith.messages import logger
from tunesmith.options import options
from tunesmith.planning import Plan, RunOptions, Selected, problem_of, refuse, report
from tunesmith.reading import Key, parse_path, show_path
from tunesmith.runs import folder_problems
from tunesmith.types import Problem, Requirement, Row
from tunesmith.validate import instance, resolve, structured, unknown_key
from tunesmith.wiring import checked, connect, noted, overridden, wrong_hooks


class Assembly:
    """The plugins of one run, ready to be called."""

    def __init__(self, plan: Plan, manager: pluggy.PluginManager) -> None:
        self.plan = plan
        self.hook = manager.hook
        self._manager = manager

    def routed(self, hook: str, name: str) -> pluggy.HookCaller:
        """The caller of a routed hook on one named plugin: `routed("to_rows", "alpaca")`."""
        keep = f"{ROUTED[hook]}.{name}"
        if not self._manager.has_plugin(keep):
            raise PluginError(
                f"{hook} of {keep} is called, but no plugin announced it.\n"
                "tell the authors of the plugin that calls it: its requires() must name it"
            )
        plugins = self._manager.list_name_plugin()
        return self._manager.subset_hook_caller(hook, [plugin for other, plugin in plugins if other != keep])

    def fetch(self, address: str, revision: str | None = None) -> Path:
        """Make a model or data set available locally, through the hub that its address names."""
        hub, rest = hub_of(address, self.plan.run.default_hub)
        path: Path = self.routed("fetch", hub)(address=rest, revision=revision)
        return path

    def to_rows(self, name: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
        """Turn records into canonical rows, through the format of this name."""
        rows: Iterator[Row] = self.routed("to_rows", name)(records=records, columns=columns)
        return rows


def assemble(composition: Composition, command: str, catalog: Catalog | None = None) -> Assembly:
    """Make the plugins that a configuration selects.

    Args:
        composition: what `compose` gave.
        command: train, chat, export, load or show; only the kinds that it needs are selected.
        catalog: where to look for plugins; by default all that are installed.

    Raises: ConfigError that lists all problems.
    """
    plan, problems, manager = examine(composition, command, catalog)
    refuse(problems, plan.origins)
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
    work = _Examination(composition, command, catalog or Catalog.discover())
    work.read_run_options()
    for kind, name, key in work.selection():
        work.select(kind, name, key)
    work.resolve_run_options()
    work.select_hub()
    work.make_instances()
    plan = work.plan()
    manager, unfit = connect(plan)
    problems = [*work.problems, *unfit, *wrong_hooks(plan, manager)]
    if command == "train":
        problems += [*folder_problems(plan, composition.file), *untrainable(plan)]
    problems += checked(plan, manager, broken=bool(problems))
    return plan, problems, manager


@dataclass(frozen=True)
class _Chosen:
    """A plugin that was found and whose options are valid, before it is made."""

    entry: Entry
    cls: type
    where: Key  # of its options

    @property
    def label(self) -> str:
        return f"{self.entry.kind}={self.entry.name}"


class _Examination:
    """The steps of `examine`, which share what was found so far."""

    def __init__(self, composition: Composition, command: str, catalog: Catalog) -> None:
        self.composition, self.command, self.catalog = composition, command, catalog
        self.tree = composition.tree
        self.problems: list[Problem] = []
        self.run = RunOptions()
        self.root: DictConfig = OmegaConf.create({})  # all keys, so that interpolations find them
        self.chosen: dict[tuple[str, str], _Chosen | None] = {}  # by kind and name; None for one that is no use
        self.selected: list[Selected] = []
        self.config: dict[str, Any] = {}
        self.missing: dict[str, str] = {}  # what is not installed, and the distribution that has it

    def read_run_options(self) -> None:
        """Validate the keys of the top level."""
        known = [option.name for option in options(RunOptions)]
        values = {name: value for name, value in self.tree.items() if name in known}
        self.root, problems = structured(RunOptions, values, (), "a run")
        self.problems += problems
        for name, value in self.tree.items():
            if name in CONFIGURED and self.command not in CONFIGURED[name].commands:
                with contextlib.suppress(OmegaConfBaseException):  # not this command's business
                    self._put((name,), OmegaConf.create(value))
            elif name not in CONFIGURED and name not in known:
                self.problems.append(unknown_key(str(name), known))

    def _put(self, key: Key, node: DictConfig) -> None:
        with open_dict(self.root):
            target = self.root
            for part in key[:-1]:
                if part not in target:
                    target[part] = {}
                target = target[part]
            target[key[-1]] = node

    def selection(self) -> Iterator[tuple[str, str, Key]]:
        """The plugins that the configuration names for this command: kind, name, key of the name."""
        for kind in CONFIGURED.values():
            value = self.tree.get(kind.name)
            if self.command not in kind.commands and not self.catalog.shapes_model(kind, value):
                continue
            if kind.many:
                for name in kind.default if value is None else value:
                    if self._written(kind, name) or name in self.catalog.names(kind.name):
                        yield kind.name, name, (kind.name, name)
                continue
            name = (value or {}).get("name", next(iter(kind.default), None))
            if name is not None:
                yield kind.name, str(name), (kind.name, "name")
            elif kind.how_many == "one" or (value and set(value) != {"name"}):
                advice = f"{choices('', self.catalog.names(kind.name), 'installed')}\nwrite {kind.name}=NAME"
                self.problems.append(Problem(kind.name, f"{kind.name} needs a name.", advice))

    def _written(self, kind: Kind, name: str) -> bool:
        """Whether the user named a plugin; a default that is not installed is left out in silence."""
        return name not in kind.default or (kind.name, name) in self.composition.origins

    def select(self, kind: str, name: str, key: Key) -> None:
        """Find, import and validate one plugin."""
        if (kind, name) in self.chosen:
            return
        self.chosen[kind, name] = None
        many = KINDS[kind].many
        where: Key = (kind, name) if many else (kind,)
        values = dict(self._options_of(kind, name))
        try:
            entry = self.catalog.find(kind, name)
            cls = self.catalog.load(entry)
            node, problems = structured(cls, values, where, f"{kind}={name}")
        except MissingPluginError as error:
            self._miss(error, f"{kind}={name}", key)
            return
        except PluginError as error:
            self.problems.append(problem_of(error, key))
            return
        self.problems += problems
        if problems:
            self.selected.append(Selected(entry, None))
            return
        if not many:
            with open_dict(node):
                node["name"] = name
        self._put(where, node)
        self.chosen[kind, name] = _Chosen(entry, cls, where)

    def _options_of(self, kind: str, name: str) -> Mapping[str, Any]:
        value: Mapping[str, Any] = self.tree.get(kind) or {}
        if KINDS[kind].many:
            return value.get(name) or {}
        return {option: given for option, given in value.items() if option != "name"}

    def _miss(self, error: MissingPluginError, what: str, key: Key) -> None:
        if error.distribution is None:
            self.problems.append(problem_of(error, key))
            return
        origin = self.composition.origins.get(key)
        self.missing[f"{what} ({origin})" if origin else what] = error.distribution

    def resolve_run_options(self) -> None:
        """Fill in the interpolations of the top level, now that what they can lead to is there."""
        data, problems = resolve(self.root, (), [option.name for option in options(RunOptions)])
        self.problems += problems
        if not problems:
            self.run = RunOptions(**data)

    def select_hub(self) -> None:
        """Select the hub of the model's address, also when the model's own plugin is missing or wrong."""
        path = self._options_of("model", "").get("path")
        if isinstance(path, str) and "${" not in path:
            self.select("hub", hub_of(path, self.run.default_hub)[0], ("model", "path"))

    def make_instances(self) -> None:
        """Make the selected plugins, and then those that they require, until nobody requires more."""
        waiting = [chosen for chosen in self.chosen.values() if chosen]
        while waiting:
            made = [self._make(chosen) for chosen in waiting]
            self.selected += made
            before = set(self.chosen)
            for item in made:
                for requirement in self._requirements(item) if item.instance is not None else ():
                    self._require(requirement, item)
            waiting = [chosen for address, chosen in self.chosen.items() if address not in before and chosen]
        if self.missing:
            message = f"not installed: {', '.join(self.missing)}."
            command = f"pip install {' '.join(sorted(set(self.missing.values())))}"
            hidden = f"\n{self.catalog.restriction}" if self.catalog.restriction else ""
            self.problems.append(Problem("", message, command + hidden))

    def _make(self, chosen: _Chosen) -> Selected:
        kind, where = chosen.entry.kind, chosen.where
        node = self.root[kind] if len(where) == 1 else self.root[kind][where[1]]
        data, problems = resolve(node, where)
        if not problems:
            try:
                values = {name: value for name, value in data.items() if name != "name" or KINDS[kind].many}
                made = instance(chosen.cls, values)
            except (TunesmithError, ValueError, OmegaConfBaseException) as error:
                message, _, advice = str(error).partition("\n")
                problems = [Problem(show_path(where), f"{chosen.label}: {message}", advice)]
        if problems:
            self.problems += problems
            return Selected(chosen.entry, None)
        if KINDS[kind].many:
            self.config.setdefault(kind, {})[chosen.entry.name] = data
        else:
            self.config[kind] = {"name": chosen.entry.name, **data}
        return Selected(chosen.entry, made)

    def _requirements(self, item: Selected) -> list[Requirement]:
        """What a plugin calls by name; the kernel itself calls the hub of the model's address."""
        found: list[Requirement] = []
        try:
            with noted(f"requires of {item.entry.address}"):
                found += getattr(item.instance, "requires", list)()
        except TunesmithError as error:
            self.problems.append(problem_of(error, (item.entry.kind,)))
        if item.entry.kind == "model" and hasattr(item.instance, "path"):
            found.append(Requirement("hub", item.instance.path, "model.path"))
        return found

    def _require(self, requirement: Requirement, item: Selected) -> None:
        kind, name = requirement.kind, requirement.name
        if kind == "hub":
            name, _ = hub_of(name, self.run.default_hub)
        others = [] if KINDS[kind].many else [other for (of, other) in self.chosen if of == kind and other != name]
        if others:
            message = f"{item.entry.address} needs {kind}={name}, selected is {kind}={others[0]}."
            self.problems.append(Problem(kind, message, f"write {kind}={name}"))
            return
        self.select(kind, name, parse_path(requirement.key))

    def plan(self) -> Plan:
        order = {kind: number for number, kind in enumerate(KINDS)}
        selected = sorted(self.selected, key=lambda item: order[item.entry.kind])
        config: dict[str, Any] = dict(vars(self.run))
        for kind in KINDS.values():
            emptied = kind.many and kind.default and self.command in kind.commands  # no trackers is a choice too
            if kind.name in self.config or emptied:
                config[kind.name] = self.config.get(kind.name, {})
            elif kind.name in self.tree and self.command not in kind.commands:
                config[kind.name] = self.tree[kind.name]  # for the commands that take the run afterwards
        origins, notices = self.composition.origins, tuple(self.composition.notices)
        return Plan(self.command, self.run, tuple(selected), config, origins, notices, self.catalog)
