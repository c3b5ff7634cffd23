"""What adapters that train a model's own weights share: which are trained, in which numbers, and when not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce

from tunesmith_library_weights.cut import is_cut, size_of
from tunesmith_library_weights.towers import say_parts

_LATER, _WANTED = "_tunesmith_casts_later", "_tunesmith_numbers"


MESSAGES = ("trained: {trained} of {total} parameters ({share}) ({why})",)
"""What is announced, for catalogues of other languages."""


def cast_later(model: Any) -> None:
    """Have `train_only` note in which numbers a weight is wanted, for what spreads the model over processes.

    As they were loaded, its weights are pages of a file that the processes of a machine share; as float32 they would
    be each process's own.
    """
    setattr(model, _LATER, True)


def cast_now(module: Any) -> None:
    """Give the weights of a module the numbers that they are wanted in."""
    for parameter in module.parameters():
        numbers = vars(parameter).pop(_WANTED, None)
        if numbers is not None:
            parameter.data = parameter.data.to(numbers)


def train_only(model: Any, names: Collection[str], dtype: str | None, why: str) -> None:
    """Let these parameters be trained and all others not, and announce their share.

    Args:
        names: as `model.named_parameters()` gives them; those of the model's `fresh_modules` are trained in any case.
        dtype: numbers of the trained parameters, such as `float32`; None leaves them.
        why: how they were chosen, for the announcement.
    """
    fresh = tuple(f"{module}." for module in getattr(model, "fresh_modules", ()))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names or name.startswith(fresh))
        if parameter.requires_grad and dtype and not is_cut(parameter):  # DeepSpeed steps float32 copies of those
            vars(parameter)[_WANTED] = getattr(torch, dtype)
    if not getattr(model, _LATER, False):
        cast_now(model)
    total = sum(map(size_of, model.parameters()))
    trained = sum(size_of(parameter) for parameter in model.parameters() if parameter.requires_grad)
    announce("trained", f"{trained:,} of {total:,} parameters ({trained / total:.2%})", why)
    say_parts(model)


def refuse_adapter(trained: Path | None, name: str) -> None:
    """Raises: TunesmithError when there is a folder of an adapter, which `adapter=name` cannot load."""
    if trained is not None:
        raise TunesmithError(
            f"adapter={name} keeps no weights of its own, but {trained} is to be loaded as an adapter.\n"
            "  if it holds an adapter, use adapter=lora; if it holds a whole model, use it as model.path"
        )


def refuse_quantised(model: Any, name: str) -> None:
    """Raises: TunesmithError when the model's weights are quantised, which `adapter=name` cannot train."""
    config = getattr(getattr(model, "config", None), "quantization_config", None)
    whole = next((name for name, parameter in model.named_parameters() if not parameter.is_floating_point()), None)
    if config is not None or whole is not None:
        found = f"{whole} holds whole numbers" if whole else "its config.json has a quantization_config"
        raise TunesmithError(
            f"adapter={name} cannot train a quantised model ({found}).\n"
            "  adapter=lora trains beside it; or take the model's 16-bit version"
        )
