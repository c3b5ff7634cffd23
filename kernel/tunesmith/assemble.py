"""Assembly: from a composition to live plugins with a plugin manager of their own.

Everything that is wrong is collected, from misspelt keys to conflicts between plugins, and reported at once; nothing
heavy is imported on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy
from omegaconf import DictConfig, OmegaConf

from tunesmith.addresses import hub_of
from tunesmith.catalog import Catalog, MissingPluginError
from tunesmith.compose import Composition
from tunesmith.errors import PluginError, TunesmithError, choices
from tunesmith.kinds import CONFIGURED, KINDS, ROUTED
from tunesmith.messages import logger
from tunesmith.options import options
from tunesmith.plan import Plan, RunOptions, Selected, refuse, report
from tunesmith.reading import Key, parse_path
from tunesmith.types import Problem, Requirement, Row
from tunesmith.validate import resolve, structured
from tunesmith.wiring import connect, overridden, wrong_hooks


class Assembly:
    """The plugins of one run, ready to be called."""

    def __init__(self, plan: Plan, manager: pluggy.PluginManager) -> None:
        self.plan = plan
        self.hook = manager.hook
        self._manager = manager

    def routed(self, hook: str, name: str) -> pluggy.HookCaller:
        """The caller of a routed hook on one named plugin: `routed("to_rows", "alpaca")`."""
        keep = f"{ROUTED[hook]}.{name}"
        plugins = self._manager.list_name_plugin()
        return self._manager.subset_hook_caller(hook, [plugin for other, plugin in plugins if other != keep])

    def fetch(self, address: str, revision: str | None = None) -> Path:
        """Make a model or data set available locally, through the hub that its address names."""
        hub, rest = hub_of(address, self.plan.run.default_hub)
        return self.routed("fetch", hub)(address=rest, revision=revision)

    def to_rows(self, name: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
        """Turn records into canonical rows, through the format of this name."""
        return self.routed("to_rows", name)(records=records, columns=columns)


def assemble(composition: Composition, command: str, catalog: Catalog | None = None) -> Assembly:
    """Make the plugins that a configuration selects.

    Args:
        composition: what `compose` gave.
        command: train, chat, export or show; only the kinds that it needs are selected.
        catalog: where to look for plugins; by default all that are installed.

    Raises: ConfigError that lists all problems.
    """
    plan, problems, manager = examine(composition, command, catalog)
    refuse(problems, plan.origins)
    for notice in (*plan.notices, *overridden(plan, manager)):
        logger.info(notice)
    for warning in problems:
        logger.warning(report([warning], plan.origins))
    return Assembly(plan, manager)


def examine(
    composition: Composition, command: str, catalog: Catalog | None = None
) -> tuple[Plan, list[Problem], pluggy.PluginManager]:
    """Do all of `assemble` but refuse: for `tunesmith plan`."""
    work = _Examination(composition, command, catalog or Catalog.discover())
    work.read_run_options()
    for kind, name, key in work.selection():
        work.select(kind, name, key)
    work.make_instances()
    plan = work.plan()
    manager = connect(plan)
    problems = [*work.problems, *wrong_hooks(plan, manager), *_check(plan, manager, bool(work.problems))]
    return plan, problems, manager


def _check(plan: Plan, manager: pluggy.PluginManager, broken: bool) -> list[Problem]:
    """Ask every plugin; one that stumbles over a plan that is known to be broken is not to blame."""
    try:
        return [problem for found in manager.hook.check(plan=plan) for problem in found]
    except Exception:
        if broken:
            return []
        raise


class _Examination:
    """The steps of `examine`, which share what was found so far."""

    def __init__(self, composition: Composition, command: str, catalog: Catalog) -> None:
        self.composition, self.command, self.catalog = composition, command, catalog
        self.tree = composition.tree
        self.problems: list[Problem] = []
        self.run = RunOptions()
        self.root: DictConfig = OmegaConf.create({})
        self.chosen: dict[tuple[str, str], tuple[Any, type, Key]] = {}  # (kind, name) -> entry, class, key of options
        self.selected: list[Selected] = []
        self.config: dict[str, Any] = {}
        self.missing: list[str] = []

    def read_run_options(self) -> None:
        known = {option.name for option in options(RunOptions)}
        values = {}
        for name, value in self.tree.items():
            if name in known:
                values[name] = value
            elif name not in CONFIGURED:
                advice = choices(name, {*known, *CONFIGURED, "defaults"})
                self.problems.append(Problem(name, f"{name} is not a key of a configuration.", advice))
        node, problems = structured(RunOptions, values, (), "a run")
        self.root = OmegaConf.create({**node})
        self.problems += problems
        if not problems:
            self.run = OmegaConf.to_object(node)  # type: ignore[assignment]

    def selection(self) -> Iterator[tuple[str, str, Key]]:
        """The plugins that the configuration names for this command: kind, name, key of the name."""
        for kind in CONFIGURED.values():
            if self.command not in kind.commands:
                continue
            value = self.tree.get(kind.name)
            if kind.many:
                installed = [name for name in kind.default if name in self.catalog.names(kind.name)]
                for name in installed if value is None else value:
                    yield kind.name, name, (kind.name, name)
                continue
            name = (value or {}).get("name", next(iter(kind.default), None))
            if name is not None:
                yield kind.name, str(name), (kind.name, "name")
            elif kind.how_many == "one" or (value and set(value) != {"name"}):
                advice = f"{choices('', self.catalog.names(kind.name), 'installed')}\nwrite {kind.name}=NAME"
                self.problems.append(Problem(kind.name, f"{kind.name} needs a name.", advice))

    def select(self, kind: str, name: str, key: Key) -> None:
        """Find, import and validate one plugin."""
        if (kind, name) in self.chosen:
            return
        place = ".".join(map(str, key))
        try:
            entry = self.catalog.find(kind, name)
            cls = self.catalog.load(entry)
        except PluginError as error:
            message, _, advice = str(error).partition("\n")
            if isinstance(error, MissingPluginError) and error.distribution:
                self.missing.append(error.distribution)
            self.problems.append(Problem(place, message, advice))
            return
        many = KINDS[kind].many
        values = dict((self.tree.get(kind) or {}).get(name) or {} if many else self.tree.get(kind) or {})
        if not many:
            values.pop("name", None)
        where: Key = (kind, name) if many else (kind,)
        node, problems = structured(cls, values, where, f"{kind}={name}")
        self.problems += problems
        if not problems:
            OmegaConf.update(self.root, ".".join(where), node, force_add=True, merge=False)
            self.chosen[kind, name] = (entry, cls, where)

    def make_instances(self) -> None:
        """Make the selected plugins, and then those that they require, until nobody requires more."""
        waiting = list(self.chosen)
        while waiting:
            made = [instance for address in waiting if (instance := self._make(*address)) is not None]
            before = set(self.chosen)
            for requirement in self._requirements(made):
                key = parse_path(requirement.key)
                name = requirement.name
                if requirement.kind == "hub":
                    name, _ = hub_of(requirement.name, self.run.default_hub)
                self.select(requirement.kind, name, key)
            waiting = [address for address in self.chosen if address not in before]
        if self.missing:
            command = f"pip install {' '.join(sorted(set(self.missing)))}"
            self.problems.append(Problem("", "Distributions are missing; install them:", command))

    def _make(self, kind: str, name: str) -> Any:
        entry, cls, where = self.chosen[kind, name]
        node = OmegaConf.select(self.root, ".".join(where))
        data, problems = resolve(node, where)
        if not problems:
            try:
                instance = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), data))
            except (TunesmithError, ValueError) as error:
                problems = [Problem(".".join(where), f"{kind}={name}: {error}")]
        self.problems += problems
        if problems:
            return None
        if KINDS[kind].many:
            self.config.setdefault(kind, {})[name] = data
        else:
            self.config[kind] = {"name": name, **data}
        self.selected.append(Selected(entry, instance))
        return instance

    def _requirements(self, instances: list[Any]) -> Iterator[Requirement]:
        for instance in instances:
            yield from getattr(instance, "requires", list)()
        model = next((item.instance for item in self.selected if item.entry.kind == "model"), None)
        if model in instances:
            yield Requirement("hub", model.path, "model.path")

    def plan(self) -> Plan:
        order = {kind: number for number, kind in enumerate(KINDS)}
        selected = sorted(self.selected, key=lambda item: order[item.entry.kind])
        run, problems = resolve(OmegaConf.structured(self.run), ())
        self.problems += problems
        config = {**run, **{kind: self.config[kind] for kind in KINDS if kind in self.config}}
        origins, notices = self.composition.origins, tuple(self.composition.notices)
        return Plan(self.command, self.run, tuple(selected), config, origins, notices)
