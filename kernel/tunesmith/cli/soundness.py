"""What is wrong with a plugin's class, told without making an instance: its options and its hooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from tunesmith import hookspecs
from tunesmith.errors import TunesmithError, choices
from tunesmith.kinds import EXCLUSIVE, ROUTED
from tunesmith.options import options
from tunesmith.validate import schema_of

_MARK = "tunesmith_impl"  # the attribute by which pluggy knows an implementation
_HOOKS = {name: inspect.signature(hook) for name, hook in vars(hookspecs).items() if hasattr(hook, "tunesmith_spec")}


def faults(kind: str, cls: type) -> list[str]:
    """Everything that would keep a class from working as a plugin of its kind."""
    return [*_of_options(cls), *_of_hooks(kind, cls)]


def _of_options(cls: type) -> Iterator[str]:
    try:
        options(cls)
        schema_of(cls)
    except (TunesmithError, NameError, TypeError) as error:  # NameError, TypeError: annotations that mean nothing
        yield str(error).splitlines()[0]


def _of_hooks(kind: str, cls: type) -> Iterator[str]:
    implemented = dict(_implementations(cls))
    for name, (given, wraps) in implemented.items():
        if name not in _HOOKS:
            yield f"implements the hook {name}, which does not exist; {choices(name, _HOOKS)}"
            continue
        possible = _HOOKS[name].parameters
        strange = [argument for argument in given if argument not in possible]
        if strange:
            advice = choices(strange[0], possible)
            yield f"asks in {name} for {', '.join(strange)}, which the hook does not have; {advice}"
        if not wraps and kind not in EXCLUSIVE.get(name, (kind,)):
            owners = " or ".join(EXCLUSIVE[name])
            yield f"implements {name}, which belongs to the kind {owners}; @hookimpl(wrapper=True) goes around it"
    for name, owner in ROUTED.items():
        if owner == kind and name not in implemented:
            yield f"does not implement {name}"


def _implementations(cls: type) -> Iterator[tuple[str, tuple[list[str], bool]]]:
    """The hooks that a class implements by name, with the arguments that it asks for, and whether it wraps."""
    for attribute in dir(cls):
        method: Any = inspect.getattr_static(cls, attribute)
        function = getattr(method, "__func__", method)
        mark = getattr(function, _MARK, None)
        if mark:
            arguments = list(inspect.signature(function).parameters)
            own = 0 if isinstance(method, staticmethod) else 1
            yield mark.get("specname") or attribute, (arguments[own:], mark["wrapper"] or mark["hookwrapper"])
