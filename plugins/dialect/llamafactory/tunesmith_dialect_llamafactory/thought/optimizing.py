"""Optimizers: of several that are on LLaMA-Factory takes the first of GaLore, APOLLO, LoRA+, BAdam, Adam-mini, Muon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith_dialect_llamafactory.draft import Draft

_ORDER = ("use_galore", "use_apollo", "loraplus_lr_ratio", "use_badam", "use_adam_mini", "use_muon")


def _chosen(name: str) -> Callable[[str, Any, Draft], None]:
    def translate(key: str, value: Any, draft: Draft) -> None:
        if not value:
            return
        first = next(other for other in _ORDER if draft.get(other))
        if first != key:
            draft.refuse(key, f"a run has one optimizer, and {first} is there, too.", f"leave {first} or {key} out")
        else:
            draft.put("optimizer.name", name, key)

    return translate


use_galore = _chosen("galore")
use_apollo = _chosen("apollo")
use_badam = _chosen("badam")
use_adam_mini = _chosen("adam_mini")
use_muon = _chosen("muon")
_loraplus = _chosen("loraplus")


def loraplus_lr_ratio(key: str, value: Any, draft: Draft) -> None:
    _loraplus(key, value, draft)
    if draft.config.get("optimizer", {}).get("name") == "loraplus":
        draft.put("optimizer.ratio", value, key)


def layerwise(key: str, value: Any, draft: Draft) -> None:
    draft.put("optimizer.layerwise", value, key)
    if value:
        draft.put("trainer.max_grad_norm", 0.0, key)
        draft.note(key, "translated", "gradients are not clipped, as no norm of all of them is known.")


def badam_switch_interval(key: str, value: Any, draft: Draft) -> None:
    if value == -1:
        draft.put("optimizer.switch_mode", "fixed", key)
    else:
        draft.put("optimizer.switch_interval", value, key)
