"""Names: of metrics as dashboards group them, and of options as tables list them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

Value = str | int | float | bool | None


def grouped(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as transformers' integrations call them: `eval_x` is `eval/x`, `test_x` `test/x`, all else `train/x`."""
    return {_grouped(name): float(value) for name, value in metrics.items()}


def _grouped(name: str) -> str:
    for group in ("eval", "test"):
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return f"train/{name}"


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, Value]:
    """A nested configuration as `trainer.learning_rate: 0.0001`; lists, and mappings without entries, are JSON."""
    found: dict[str, Value] = {}
    for key, value in config.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{name}.")
        elif value is None or isinstance(value, str | int | float | bool):
            found[name] = value
        else:
            found[name] = json.dumps(value, ensure_ascii=False, default=str)
    return found


def allowed(values: Mapping[str, T], forbidden: re.Pattern[str], longest: int) -> dict[str, T]:
    """The same values under names that a program takes.

    What it does not take becomes `_`. Names that are too long, or that would then be another's, end in a digest of
    themselves, so that no value is lost.

    Args:
        forbidden: one character that must not be in a name, or several as one.
        longest: characters of a name, 9 at least.
    """
    found: dict[str, T] = {}
    for name, value in values.items():
        fits = forbidden.sub("_", name)
        if len(fits) > longest or (fits != name and (fits in values or fits in found)):
            fits = f"{fits[: longest - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        found[fits] = value
    return found
