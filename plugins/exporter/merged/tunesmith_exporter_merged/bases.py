"""Whether an adapter can be merged into the base of a plan, as far as that can be told before the base is at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.types import Problem
from tunesmith_library_weights.plans import suitable, unmergeable

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_MESSAGE = "exporter=merged cannot merge into the weights that quantizer={quantizer} rounds to few bits."
_ADVICE = "quantizer=null merges into the base's 16-bit weights"


def base_problems(plan: Plan) -> list[Problem]:
    """The problem of a base that is quantised while it is loaded, or stored in few bits that nothing selected reads.

    A base that is not at hand yet is judged when it is exported.
    """
    file = Path(str(plan.get("model.path", ""))).expanduser() / "config.json"
    stored = _stored_by(file) if file.is_file() else None
    if plan.uses("quantizer"):
        at_hand = file.is_file() or not plan.get("model.path", "")
        return unmergeable(plan, "quantizer", _MESSAGE, _ADVICE) if at_hand and stored is None else []
    if stored is None:
        return []
    reader = suitable(plan, "quantizer", lambda traits: traits.method == stored)
    message = f"the base is stored in few bits ({stored}), and no quantizer is selected that tells what they stand for."
    return [Problem("quantizer", message, reader or "the model's 16-bit version as model.path, or exporter=adapter")]


def quantizer_of_full(plan: Plan) -> str | None:
    """The quantizer of a plan that cannot be merged into, where the base is in full; None without such a one."""
    return plan.name("quantizer") if unmergeable(plan, "quantizer", _MESSAGE, _ADVICE) else None


def refuse_on_the_fly(base: Path, quantizer: str | None) -> None:
    """Raise TunesmithError, before a model is loaded, for a base in full that a quantizer rounds to few bits."""
    if quantizer is not None and _stored_by(base / "config.json") is None:
        raise TunesmithError(f"{_MESSAGE.format(quantizer=quantizer)}\n  {_ADVICE}")


def _stored_by(file: Path) -> str | None:
    """With which method a config.json says that weights are stored in few bits; None where they are in full."""
    try:
        said: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # whoever loads it says what is wrong
        return None
    stored = said.get("quantization_config") if isinstance(said, dict) else None
    return str(stored.get("quant_method")) if isinstance(stored, dict) else None
