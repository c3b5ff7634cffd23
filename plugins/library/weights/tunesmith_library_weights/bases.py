"""Whether an adapter can be merged into the base of a plan, as far as that can be told before the base is at hand.

Few bits that a base is stored in are computed in full (see `dequantising`). A base in full that was quantised while the
run loaded it is merged into as it is stored, without the quantizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.types import Problem

from tunesmith_library_weights.plans import suitable, unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_MESSAGE = "exporter={exporter} cannot merge into the weights that quantizer={quantizer} rounds to few bits."
_ADVICE = "quantizer=null merges into the base's 16-bit weights"


def base_problems(plan: Plan, exporter: str) -> list[Problem]:
    """The problem of a base that is quantised while it is loaded, or stored in few bits that nothing selected reads.

    A base that is not at hand yet is judged by `refuse_on_the_fly`, when it is exported.

    Args:
        exporter: the name of the one that asks.
    """
    file = Path(str(plan.get("model.path", ""))).expanduser() / "config.json"
    stored = stored_by(file.parent)
    if plan.uses("quantizer"):
        at_hand = file.is_file() or not plan.get("model.path", "")
        return _unmergeable(plan, exporter) if at_hand and stored is None else []
    if stored is None:
        return []
    reader = suitable(plan, "quantizer", lambda traits: traits.method == stored)
    message = f"the base is stored in few bits ({stored}), and no quantizer is selected that tells what they stand for."
    return [Problem("quantizer", message, reader or "the model's 16-bit version as model.path, or exporter=adapter")]


def quantizer_of_full(plan: Plan, exporter: str) -> str | None:
    """The quantizer of a plan that cannot be merged into where the base is in full; None without such a one."""
    return plan.name("quantizer") if _unmergeable(plan, exporter) else None


def refuse_on_the_fly(base: Path, quantizer: str | None, exporter: str) -> None:
    """Raise TunesmithError, before a model is loaded, for a base in full that a quantizer rounds to few bits.

    Args:
        quantizer: what `quantizer_of_full` gave.
    """
    if quantizer is not None and stored_by(base) is None:
        raise TunesmithError(f"{_MESSAGE.format(exporter=exporter, quantizer=quantizer)}\n  {_ADVICE}")


def stored_by(folder: Path) -> str | None:
    """With which method a model's weights are stored in few bits; None where they are in full, or nobody knows."""
    try:
        said: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever loads it says what is wrong
        return None
    stored = said.get("quantization_config") if isinstance(said, dict) else None
    return str(stored.get("quant_method")) if isinstance(stored, dict) else None


def _unmergeable(plan: Plan, exporter: str) -> list[Problem]:
    return unmergeable(plan, "quantizer", _MESSAGE.replace("{exporter}", exporter), _ADVICE)
