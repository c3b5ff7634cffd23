"""Instances: the options of selected plugins, checked against their fields and filled in, become live plugins."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from tunesmith.addresses import hub_of
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition
from tunesmith.errors import TunesmithError, noted
from tunesmith.keys import Key
from tunesmith.kinds import CONFIGURED, KINDS
from tunesmith.options import options
from tunesmith.planning import RunOptions, Selected, problem_of
from tunesmith.selection import Choice, Selection, Wanted
from tunesmith.types import Problem, Requirement
from tunesmith.validate import instance, resolve, structured, unknown_key


@dataclass(frozen=True)
class Values:
    """Options that were checked, with their interpolations still to be filled in."""

    nodes: Mapping[Key, DictConfig]  # by the key that the options stand under; the run's own under Key()
    choices: tuple[Choice, ...] = ()  # of the last selection, those whose options are right
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()

    def tree(self) -> DictConfig:
        """All of them in one tree, so that interpolations find what they name."""
        root = self.nodes[Key()].copy()
        with open_dict(root):
            for key, node in self.nodes.items():
                *path, last = key or (None,)
                target = root
                for part in path:
                    if part not in target:
                        target[part] = {}
                    target = target[part]
                if last is not None:
                    target[last] = node
        return root


def run_values(composition: Composition, command: str) -> Values:
    """Check the keys of the top level; the options of kinds that a command does not need are taken as they are."""
    known = [option.name for option in options(RunOptions)]
    given = {name: value for name, value in composition.tree.items() if name in known}
    node, found = structured(RunOptions, given, Key(), "a run")
    nodes, problems = {Key(): node}, found
    for name, value in composition.tree.items():
        if name in CONFIGURED and command not in CONFIGURED[name].commands:
            with contextlib.suppress(OmegaConfBaseException):  # not this command's business
                nodes[Key(name)] = OmegaConf.create(value)
        elif name not in CONFIGURED and name not in known:
            problems.append(unknown_key(str(name), known))
    return Values(nodes, problems=tuple(problems))


def plugin_values(former: Values, selection: Selection, composition: Composition) -> Values:
    """Check the options of selected plugins against their fields."""
    nodes, right = dict(former.nodes), []
    problems: list[Problem] = []
    notices: list[str] = []
    for choice in selection.choices:
        item = choice.wanted
        given, said = _renamed(choice, _given(composition, item))
        notices += said
        try:
            node, found = structured(choice.cls, given, item.where, item.label)
        except TunesmithError as error:
            problems.append(problem_of(error, item.key))
            continue
        problems += found
        if not found:
            if not KINDS[item.kind].many:
                with open_dict(node):
                    node["name"] = item.name
            nodes[item.where] = node
            right.append(choice)
    return Values(nodes, tuple(right), tuple(problems), tuple(notices))


def _given(composition: Composition, item: Wanted) -> dict[str, Any]:
    value: Mapping[str, Any] = composition.tree.get(item.kind) or {}
    if KINDS[item.kind].many:
        return dict(value.get(item.name) or {})
    return {option: given for option, given in value.items() if option != "name"}


def _renamed(choice: Choice, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options under their present names: a class says in `renamed` which ones had others."""
    former: Mapping[str, str] = getattr(choice.cls, "renamed", {})
    notices = [
        f"{choice.wanted.where / name} is called {choice.wanted.where / former[name]} now; write that"
        for name in given
        if name in former
    ]
    return {former.get(name, name): value for name, value in given.items()}, notices


@dataclass(frozen=True)
class Instances:
    """Live plugins, and what they call by name."""

    run: RunOptions
    selected: tuple[Selected, ...]
    config: Mapping[Key, Any]  # the resolved options of each, by the key they stand under
    required: tuple[tuple[Requirement, Selected], ...]
    problems: tuple[Problem, ...] = ()


def make(values: Values, selection: Selection, catalog: Catalog) -> Instances:
    """Fill in the interpolations of checked options, and make the plugins of them."""
    tree = values.tree()
    data, found = resolve(tree, Key(), [option.name for option in options(RunOptions)])
    run, problems = RunOptions() if found else RunOptions(**data), list(found)
    selected, config = [], {}
    wrong = set(selection.choices) - set(values.choices)
    for choice in values.choices:
        where = choice.wanted.where
        node = functools.reduce(lambda holder, part: holder[part], where, tree)
        options_of, found = resolve(node, where)
        made, failed = (None, found) if found else _make(choice, options_of)
        problems += failed
        selected.append(Selected(choice.entry, made))
        if made is not None:
            config[where] = options_of
    selected += [Selected(choice.entry, None) for choice in selection.choices if choice in wrong]
    required, failed = _requirements(selected, catalog)
    return Instances(run, tuple(selected), config, required, (*problems, *failed))


def _make(choice: Choice, data: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    one = not KINDS[choice.wanted.kind].many
    try:
        return instance(choice.cls, {name: value for name, value in data.items() if not (one and name == "name")}), []
    except (TunesmithError, ValueError, OmegaConfBaseException) as error:
        message, _, advice = str(error).partition("\n")
        return None, [Problem(choice.wanted.where, f"{choice.wanted.label}: {message}", advice)]


def _requirements(
    selected: Iterable[Selected], catalog: Catalog
) -> tuple[tuple[tuple[Requirement, Selected], ...], list[Problem]]:
    """What plugins call by name; the kernel itself calls the hub of the model's address."""
    found: list[tuple[Requirement, Selected]] = []
    problems = []
    for item in selected:
        try:
            with noted(f"requires of {item.entry.address}"):
                found += [(requirement, item) for requirement in _called(item.instance, catalog)]
        except TunesmithError as error:
            problems.append(problem_of(error, Key(item.entry.kind)))
        if item.entry.kind == "model" and hasattr(item.instance, "path"):
            found.append((Requirement("hub", item.instance.path, "model.path"), item))
    return tuple(found), problems


def _called(plugin: Any, catalog: Catalog) -> list[Requirement]:
    """What one plugin calls by name; it may ask what is installed."""
    requires = getattr(plugin, "requires", lambda: [])
    asks = "installed" in inspect.signature(requires).parameters
    found: list[Requirement] = requires(installed=catalog.classes) if asks else requires()
    return found


def required(made: Instances, known: Mapping[tuple[str, str], Any]) -> tuple[tuple[Wanted, ...], list[Problem]]:
    """The plugins that the ones just made call by name and that are not there yet.

    Args:
        known: the plugins that were wanted before, by kind and name.
    """
    wanted: dict[tuple[str, str], Wanted] = {}
    problems = []
    for requirement, item in made.required:
        kind, name = requirement.kind, requirement.name
        if kind == "hub":
            name, _ = hub_of(name, made.run.default_hub)
        others = [] if KINDS[kind].many else [other for of, other in known if of == kind and other != name]
        if others:
            message = f"{item.entry.address} needs {kind}={name}, selected is {kind}={others[0]}."
            problems.append(Problem(Key(kind), message, f"write {kind}={name}"))
        elif (kind, name) not in known:
            wanted[kind, name] = Wanted(kind, name, Key.of(requirement.key))
    return tuple(wanted.values()), problems
