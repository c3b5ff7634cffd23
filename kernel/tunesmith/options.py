"""`@plugin`: a class whose fields are options; what reads those fields is `tunesmith_library_configuration.options`."""

from __future__ import annotations

from typing import TypeVar, dataclass_transform

from tunesmith_library_configuration.options import Option as Option
from tunesmith_library_configuration.options import configurable, is_configurable
from tunesmith_library_configuration.options import options as options
from tunesmith_library_configuration.options import plain as plain
from tunesmith_library_configuration.options import shorthand as shorthand
from tunesmith_library_configuration.options import type_name as type_name

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, eq_default=False)
def plugin(cls: type[T]) -> type[T]:
    """Make a class a plugin: its annotated fields are options, its `@hookimpl` methods are behaviour.

    It is a dataclass with `kw_only=True` and `eq=False`: pluggy tells plugins apart by identity. Defaults that are
    lists, mappings or sets may be written as they are (`skip: list[str] = []`): every instance gets its own copy. What
    an instance remembers during a run is a field too, with a name that begins with `_` and a default; it is no option.
    """
    return configurable(cls)


def is_plugin(thing: object) -> bool:
    """Whether `thing` is a class that `@plugin` was put on itself (not only on a base of it)."""
    return is_configurable(thing)
