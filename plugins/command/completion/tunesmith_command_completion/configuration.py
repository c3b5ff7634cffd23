"""Completion of `[CONFIG] [KEY=VALUE]…`: files and recipes, keys, and the values of keys."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.catalog import Catalog
from tunesmith.errors import TunesmithError
from tunesmith.kinds import CONFIGURED, Kind
from tunesmith.options import Option, options
from tunesmith_library_configuration.recipes import recipes

from tunesmith_command_completion.answer import Answer


def completed(words: Sequence[str], written: str, catalog: Catalog) -> Iterator[Answer]:
    """The answers for an unfinished word.

    Args:
        words: the finished ones: a configuration, overrides.
        catalog: what is installed.
    """
    key, assigned, value = written.partition("=")
    files = [word for word in words if "=" not in word]
    line = _Line(catalog, files[0] if files else None, [word for word in words if "=" in word])
    if assigned:
        for answer in line.values(key):
            if answer.value.startswith(value):
                yield Answer(f"{key}={answer.value}", answer.help)
        return
    found = [*(_files(written) if not files else ()), *line.keys(written)]
    yield from (answer for answer in found if answer.value.startswith(written))


def _files(written: str) -> Iterator[Answer]:
    """Configurations and folders that begin so, and recipes that are installed."""
    folder, slash, begun = written.rpartition("/")
    place = Path(f"{folder}{slash}").expanduser()
    entries = sorted(place.iterdir()) if place.is_dir() else []
    for entry in entries:
        if entry.name.startswith(".") and not begun.startswith("."):
            continue
        if entry.is_dir():
            is_run = (entry / "run.yaml").is_file()
            yield Answer(f"{folder}{slash}{entry.name}{'' if is_run else '/'}", "a run" if is_run else "")
        elif entry.suffix in (".yaml", ".yml"):
            yield Answer(f"{folder}{slash}{entry.name}")
    here = {entry.name for entry in entries}
    if written.rpartition("/")[0] in ("", "conf"):
        for name in sorted(recipes()):
            if name not in here:
                yield Answer(f"{folder}{slash}{name}", "an installed recipe")


class _Line:
    """What the rest of a line says: which plugins are selected."""

    def __init__(self, catalog: Catalog, config: str | None, overrides: Sequence[str]) -> None:
        self._catalog = catalog
        self._config = config
        self._overrides = overrides

    def keys(self, written: str) -> Iterator[Answer]:
        """The keys that can be written: kinds and options of the run, or behind a dot the options of a plugin."""
        head, dot, _ = written.rpartition(".")
        if not dot:
            for name, kind in CONFIGURED.items():
                yield Answer(f"{name}=", kind.summary)
                if written:  # of an empty word there are many without these
                    yield Answer(f"{name}.", f"options: {kind.summary}")
            yield from (Answer(f"{option.name}=", option.doc) for option in _run_options())
            return
        if head in CONFIGURED and CONFIGURED[head].many:
            for name in self._catalog.names(head):
                yield Answer(f"{head}.{name}=", "true or false")
                yield Answer(f"{head}.{name}.", self._summary(head, name))
            return
        for option in self._options(head):
            inner = dataclasses.is_dataclass(option.type)
            yield Answer(f"{head}.{option.name}{'.' if inner else '='}", _described(option))

    def values(self, key: str) -> Iterator[Answer]:
        """The values of a key that can be listed."""
        kind = CONFIGURED.get(key.removesuffix(".name"))
        if kind and (key == kind.name or not kind.many):
            yield from (Answer(name, self._summary(kind.name, name)) for name in self._catalog.names(kind.name))
            yield from [Answer("null", "none")] if kind.how_many == "optional" else []
            return
        head, _, name = key.rpartition(".")
        if head in CONFIGURED and CONFIGURED[head].many:
            yield from (Answer("true", "with its defaults"), Answer("false", "without it"))
            return
        for option in self._options(head) if head else _run_options():
            listed = list(_listed(option.type)) if option.name == name else []
            if listed != ["null"]:  # of a path that may be left out, say
                yield from map(Answer, listed)

    def _options(self, head: str) -> Sequence[Option]:
        """The options behind a key: of a plugin, or of a dataclass in one."""
        first, *inner = head.split(".")
        kind = CONFIGURED.get(first)
        name = None if kind is None else inner.pop(0) if kind.many and inner else self._selected(kind)
        if kind is None or name is None:
            return ()
        found: Sequence[Option] = options(self._catalog.load(self._catalog.find(first, name, asked=False)))
        for part in inner:
            held = next((option.type for option in found if option.name == part), None)
            found = options(held) if dataclasses.is_dataclass(held) and isinstance(held, type) else ()
        return found

    def _selected(self, kind: Kind) -> str | None:
        """The plugin of a kind that the line selects, by itself, in its file, or by default."""
        words = dict(word.split("=", 1) for word in self._overrides)
        named = words.get(f"{kind.name}.name", words.get(kind.name))
        if named and not named.startswith("{"):
            return named
        default = next(iter(kind.default), None)
        chosen = self._tree().get(kind.name) if self._config or named else None
        name = chosen.get("name", default) if isinstance(chosen, Mapping) else default
        return name if name is None else str(name)

    def _tree(self) -> Mapping[str, Any]:
        """The configuration so far; of a file that cannot be read, what stands on the line."""
        from tunesmith.compose import compose

        for config in (self._config, None):
            with contextlib.suppress(TunesmithError, OSError):
                return compose(config, self._overrides).tree
        return {}

    def _summary(self, kind: str, name: str) -> str:
        with contextlib.suppress(TunesmithError):
            cls = self._catalog.load(self._catalog.find(kind, name, asked=False))
            return (inspect.getdoc(cls) or "").partition("\n")[0]
        return "broken: tunesmith plugins says why"


def _run_options() -> Sequence[Option]:
    from tunesmith.planning import RunOptions

    return options(RunOptions)


def _described(option: Option) -> str:
    return f"{option.doc} [{option.default_text}]" if option.doc else f"[{option.default_text}]"


def _listed(annotation: Any) -> Iterator[str]:
    """The values of a type, where they are few: of literals, booleans, and null."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is bool:
        yield from ("true", "false")
    elif annotation is type(None):
        yield "null"
    elif origin is typing.Literal:
        yield from map(str, arguments)
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _listed(argument)
