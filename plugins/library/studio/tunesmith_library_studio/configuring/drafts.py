"""A draft of a configuration, read and examined: values for a form, the same as text, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition, compose
from tunesmith.dialects import OURS
from tunesmith.keys import nearest_origin
from tunesmith.kinds import CONFIGURED
from tunesmith.types import Problem
from tunesmith_library_configuration.folders import RECORD
from tunesmith_library_configuration.keys import Key
from tunesmith_library_configuration.options import options, plain
from tunesmith_library_configuration.reading import read_yaml

from tunesmith_library_studio.configuring.own_files import own_plugins, unconfirmed, without
from tunesmith_library_studio.configuring.places import hold_inside
from tunesmith_library_studio.configuring.writing import command_of, says_something, yaml_of
from tunesmith_library_studio.workspace import Workspace

_LINE = re.compile(r":(\d+)\b")
_OVERRIDE = re.compile(r"(?<![\w.\-/])([a-z_]+(?:\.\w+)*\+?=(?:\[[^\]\n]*\]|\{[^}\n]*\}|[^\s,;()\[\]{}]+))")
_PLACEHOLDER = re.compile(r"[A-Z]{2,}|…")


@dataclass(frozen=True)
class Draft:
    """What a client has: values of a form, a text, or a file, and overrides over it."""

    file: Path  # that the draft is in, or is written to
    overrides: tuple[str, ...] = ()
    values: Mapping[str, Any] | None = None
    text: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether the file is somebody's, such as a recipe, and not a place for the draft."""
        return self.values is None and self.text is None

    @property
    def written(self) -> str | None:
        """The text as it is handed in; None for a file."""
        return yaml_of(self.values) if self.values is not None else self.text


def composed(draft: Draft, workspace: Workspace, catalog: Catalog) -> Composition:
    """The composition of a draft.

    Raises: ConfigError; OutsideWorkspace where a path in it leads away.
    """
    if (text := draft.written) is not None:
        draft.file.write_text(text, encoding="utf-8")
        hold_inside(read_yaml(draft.file)[0], workspace)
    hold_inside([word.partition("=")[2] for word in draft.overrides], workspace)
    made = compose(draft.file, list(draft.overrides), catalog)
    hold_inside(made.tree, workspace)
    return made


def answer(draft: Draft, workspace: Workspace, catalog: Catalog) -> dict[str, Any]:
    """What a front end shows of a draft.

    Returns: `values`, null where the text cannot be read; `yaml`; `command`; `problems`, each with `key`, `message`,
        `advice`, `severity`, `line` in the text, and `fixes`, lists of overrides that the advice names; `origins`, the
        line of each value; `notices`; `comments`, whether the text has comments that its values have not; `own`,
        plugins in files that the draft names, with their options (`own_files.own_plugins`); `unconfirmed`, those that
        only a run's record names: `values` is without them, and they are not run before the user takes them over.
    """
    try:
        made = composed(draft, workspace, catalog)
    except TunesmithError as error:
        return {**_unread(draft), "problems": [_unreadable(error, draft)]}
    as_given = draft.values is not None and not draft.overrides
    waiting = list(unconfirmed(made, workspace))
    values = dict(draft.values or {}) if as_given else without(_values(made, draft, catalog), waiting)
    kept = draft.text is not None and not draft.overrides
    plan, problems, _ = examine(made, "train", catalog)
    return {
        "values": values,
        "yaml": draft.text if kept else yaml_of(values),
        "command": command_of(values),
        "for": made.command or "train",
        "problems": [_told(problem, made, draft) for problem in problems],
        "origins": {str(key): origin.line for key, origin in made.origins.items() if origin.source == str(draft.file)},
        "notices": [_own_words(notice, draft) for notice in made.notices],
        "comments": draft.text is not None and re.search(r"(^|\s)#", draft.text) is not None,
        "own": own_plugins(plan, made, workspace, catalog),
        "unconfirmed": [{**item, "value": _plain(item["value"])} for item in waiting],
    }


def _unread(draft: Draft) -> dict[str, Any]:
    return {
        "values": None if draft.values is None else dict(draft.values),
        "yaml": draft.written or "",
        "command": "",
        "for": "train",
        "origins": {},
        "notices": [],
        "comments": False,
        "own": [],
        "unconfirmed": [],
    }


def _unreadable(error: TunesmithError, draft: Draft) -> dict[str, Any]:
    message, _, advice = _own_words(str(error), draft).partition("\n")
    line = _LINE.search(str(error).replace(str(draft.file), ""))
    found = int(line[1]) if line else None
    advice = "\n".join(filter(None, map(str.strip, advice.splitlines())))
    return {"key": "", "message": message, "advice": advice, "severity": "error", "line": found, "fixes": []}


def _told(problem: Problem, made: Composition, draft: Draft) -> dict[str, Any]:
    key = Key.of(problem.key)
    origin = nearest_origin(key, made.origins)
    line = origin.line if origin is not None and origin.source == str(draft.file) else None
    return {
        "key": str(key),
        "message": _own_words(problem.message, draft),
        "advice": _own_words(problem.advice, draft),
        "severity": problem.severity,
        "line": line,
        "fixes": list(_fixes(problem.advice)),
    }


def _fixes(advice: str) -> Iterator[list[str]]:
    """The overrides that an advice names, each a way to mend it; placeholders and paths are for people to fill in."""
    for word in dict.fromkeys(_OVERRIDE.findall(advice)):
        key, _, value = word.partition("=")
        if key.partition(".")[0].rstrip("+") in OURS and not _PLACEHOLDER.search(value) and "/" not in value:
            yield [word.rstrip(".'\"")]


def _own_words(text: str, draft: Draft) -> str:
    """A text in which the place of the draft is not named: its writer knows none."""
    if draft.is_file:
        return text
    return re.sub(re.escape(str(draft.file)) + r":(\d+)", r"line \1", text).replace(str(draft.file), "the text")


def _values(made: Composition, draft: Draft, catalog: Catalog) -> dict[str, Any]:
    """The values as a form has them; of the record of a run without its place and what is the default anyway."""
    tree = {name: _plain(value) for name, value in made.tree.items()}
    if draft.is_file and draft.file.name == RECORD:
        tree.pop("output_dir", None)
        tree = {name: _beyond_defaults(name, value, catalog) for name, value in tree.items()}
    return {name: value for name, value in tree.items() if says_something(name, value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _beyond_defaults(kind: str, value: Any, catalog: Catalog) -> Any:
    if kind not in CONFIGURED:
        from tunesmith.planning import RunOptions

        return None if value == getattr(RunOptions(), kind, None) else value
    if not isinstance(value, Mapping):
        return value
    if CONFIGURED[kind].many:
        kept = {name: _changed(kind, name, item, catalog) for name, item in value.items()}
        usual: dict[str, Any] = {name: {} for name in CONFIGURED[kind].default}
        return None if kept == usual else kept
    name = str(value.get("name", next(iter(CONFIGURED[kind].default), "")))
    kept = _changed(kind, name, value, catalog)
    return None if kept == {"name": name} and name in CONFIGURED[kind].default else kept


def _changed(kind: str, name: str, written: Any, catalog: Catalog) -> Any:
    if not isinstance(written, Mapping):
        return written
    try:
        entry = catalog.find(kind, name, asked=False)
        if entry.private:  # a file that a run's record names is not run for that reason
            return dict(written)
        known = options(catalog.load(entry))
    except TunesmithError:
        return dict(written)
    usual = {option.name: plain(option.default) for option in known if not option.required}
    listed = {option.name: item for option in known if (item := _item_of(option.type)) is not None}
    kept = {key: item for key, item in written.items() if key not in usual or usual[key] != item}
    is_listed = {key for key, item in kept.items() if key in listed and isinstance(item, list)}
    return {key: _entries(listed[key], item) if key in is_listed else item for key, item in kept.items()}


def _item_of(kind: Any) -> type | None:
    """The dataclass that the entries of a list are of; None for any other type."""
    items = typing.get_args(kind) if typing.get_origin(kind) is list else ()
    return next((item for item in items if dataclasses.is_dataclass(item) and isinstance(item, type)), None)


def _entries(of: type, written: list[Any]) -> list[Any]:
    """The entries of a list without what is the default of their dataclass."""
    usual = {option.name: plain(option.default) for option in options(of) if not option.required}
    return [
        {key: value for key, value in entry.items() if key not in usual or usual[key] != value}
        if isinstance(entry, Mapping)
        else entry
        for entry in written
    ]


def overrides_of(values: Sequence[str]) -> tuple[str, ...]:
    """Overrides as they came, texts all of them.

    Raises: TunesmithError for one that sets nothing.
    """
    wrong = next((word for word in values if "=" not in word), None)
    if wrong is not None:
        raise TunesmithError(f"{wrong!r} is not an override.\nwrite key=value, like adapter.rank=16")
    return tuple(values)
