"""Names: of metrics as dashboards group them, and of options as tables list them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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
