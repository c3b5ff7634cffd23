"""Instances: the options of selected plugins, checked against their fields and filled in, become live plugins."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition
from tunesmith.errors import TunesmithError, noted
from tunesmith.keys import Key, Origins
from tunesmith.kinds import CONFIGURED, KINDS
from tunesmith.options import options
from tunesmith.planning import RunOptions, Selected, problem_of
from tunesmith.selection import Choice, Selection, Wanted
from tunesmith.types import Problem, Requirement
from tunesmith.validate import instance, resolve, structured
from tunesmith_library_configuration.addresses import hub_of
from tunesmith_library_configuration.unknown import unknown_key
from tunesmith_library_configuration.validate import in_range, together
from tunesmith_library_configuration.versions import renamed


@dataclass(frozen=True)
class Instances:
    """Live plugins, and what they call by name."""

    nodes: Mapping[Key, DictConfig]  # checked options with their interpolations, by the key that they stand under
    run: RunOptions = field(default_factory=RunOptions)
    selected: tuple[Selected, ...] = ()
    config: Mapping[Key, Any] = field(default_factory=dict)  # options filled in, by the key that they stand under
    required: tuple[tuple[Requirement, Selected], ...] = ()  # by the plugins that were made last
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    origins: Origins = field(default_factory=dict)  # of options that had another name


def checked_run(composition: Composition, command: str, catalog: Catalog) -> Instances:
    """Check the keys of the top level; the options of kinds that a command does not need are taken as they are."""
    known = [option.name for option in options(RunOptions)]
    given = {name: value for name, value in composition.tree.items() if name in known}
    node, problems = structured(RunOptions, given, Key(), "a run", composition.origins)
    nodes = {Key(): node}
    for name, value in composition.tree.items():
        if name in CONFIGURED and command not in CONFIGURED[name].commands:
            with contextlib.suppress(OmegaConfBaseException):  # not this command's business
                nodes[Key(name)] = OmegaConf.create(value)
        elif name not in CONFIGURED and name not in known:
            origin, tree = composition.origins.get(Key(name)), composition.tree
            problems.append(unknown_key(str(name), tree, origin, RunOptions, CONFIGURED, catalog.classes))
    return Instances(nodes, problems=tuple(problems))


def checked_options(
    former: Instances, selection: Selection, composition: Composition
) -> tuple[Instances, tuple[Choice, ...]]:
    """Check the options of selected plugins against their fields.

    Returns: what was there before with these options, and the plugins of which all that they need is there; those that
        have something wrong are made with its default, so that they can say what else is wrong.
    """
    nodes, right, wrong = dict(former.nodes), [], []
    problems, notices, origins = list(former.problems), list(former.notices), dict(former.origins)
    for choice in selection.choices:
        item = choice.wanted
        former_names = getattr(choice.cls, "renamed", {})
        given, moved, told, twice = renamed(former_names, _given(composition, item), item.where, composition.origins)
        origins |= moved
        notices += told
        try:
            node, found = structured(choice.cls, given, item.where, item.label, {**composition.origins, **moved})
        except TunesmithError as error:
            problems.append(problem_of(error, item.key))
            continue
        problems += [*twice, *found]
        if any(OmegaConf.is_missing(node, name) for name in node):
            wrong.append(Selected(choice.entry, None))
            continue
        if not KINDS[item.kind].many:
            with open_dict(node):
                node["name"] = choice.entry.name
        nodes[item.where] = node
        right.append(choice)
    selected = (*former.selected, *wrong)
    made = replace(former, nodes=nodes, selected=selected, problems=tuple(problems), notices=tuple(notices))
    return replace(made, origins=origins), tuple(right)


def _given(composition: Composition, item: Wanted) -> dict[str, Any]:
    value: Mapping[str, Any] = composition.tree.get(item.kind) or {}
    if KINDS[item.kind].many:
        return dict(value.get(item.name) or {})
    return {option: given for option, given in value.items() if option != "name"}


def make(former: Instances, choices: tuple[Choice, ...], catalog: Catalog) -> Instances:
    """Fill in the interpolations of checked options, and make the plugins of them."""
    tree = together(former.nodes)
    data, found = resolve(tree, Key(), [option.name for option in options(RunOptions)])
    found += in_range(RunOptions, data, Key())
    run, problems, config = RunOptions() if found else RunOptions(**data), list(found), dict(former.config)
    selected = []
    for choice in choices:
        where = choice.wanted.where
        data, found = resolve(functools.reduce(lambda holder, part: holder[part], where, tree), where)
        found += in_range(choice.cls, data, where)
        wrong = any(Key.of(problem.key).within(where) for problem in former.problems)
        made, found = (None, found) if found else _make(choice, data)
        problems += [] if wrong and made is None else found
        selected.append(Selected(choice.entry, *((None, made) if wrong else (made,))))
        if made is not None and not wrong:
            config[Key(where[0], choice.entry.name) if len(where) > 1 else where] = data
    required, found = _requirements(selected, catalog)
    known = {(str(problem.key), problem.message) for problem in former.problems}
    problems = [problem for problem in (*problems, *found) if (str(problem.key), problem.message) not in known]
    made, told = (*former.selected, *selected), (*former.problems, *problems)
    return replace(former, run=run, selected=made, config=config, required=required, problems=told)


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
                called = _called(item.draft if item.instance is None else item.instance, catalog)
                found += [(requirement, item) for requirement in called]
        except TunesmithError as error:
            problems.append(problem_of(error, Key(item.entry.kind)))
        if item.entry.kind == "model" and hasattr(item.instance, "path"):
            found.append((Requirement("hub", item.instance.path, "model.path"), item))
    return tuple(found), problems


def _called(plugin: Any, catalog: Catalog) -> list[Requirement]:
    """What one plugin calls by name; it may ask what is installed."""
    requires = getattr(plugin, "requires", None)
    asks = requires is not None and "installed" in inspect.signature(requires).parameters
    found: list[Requirement] = [] if requires is None else requires(**({"installed": catalog.classes} if asks else {}))
    return found


def required(made: Instances, known: Set[tuple[str, str]]) -> tuple[tuple[Wanted, ...], list[Problem]]:
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


def resolved(made: Instances, composition: Composition, command: str) -> dict[str, Any]:
    """The whole configuration: run options, and per kind the name and all options."""
    config: dict[str, Any] = dict(vars(made.run))
    for kind in KINDS.values():
        of_kind = {key: value for key, value in made.config.items() if key[0] == kind.name}
        emptied = kind.many and kind.default and command in kind.commands  # no trackers is a choice too
        if of_kind or emptied:
            by_name = {str(key[-1]): value for key, value in of_kind.items()}
            config[kind.name] = by_name if kind.many else _name_first(by_name[kind.name])
        elif kind.name in composition.tree and command not in kind.commands:
            config[kind.name] = composition.tree[kind.name]  # for the commands that take the run afterwards
    return config


def _name_first(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": options["name"], **options}
