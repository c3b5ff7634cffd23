"""Other models beside the one that is trained, by their own `config.json`; and the one that gives a score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.architectures import decoder
from tunesmith_library_estimates.estimation import Estimate, Weight


def weights_at(path: str, bits: int | None = None) -> tuple[Weight, ...] | None:
    """The weights of a model in a folder, or of the one that an adapter in it is for.

    Args:
        bits: of a number in memory; None is as many as the file says that the weights are saved in.

    Returns: None where no such file is at hand, or its architecture is not known.
    """
    folder = Path(path).expanduser()
    config = _read(folder / "config.json")
    if config is None:
        adapter = _read(folder / "adapter_config.json")
        base = adapter and adapter.get("base_model_name_or_path")
        config = _read(Path(base) / "config.json") if base else None
    if config is None:
        return None
    if bits is None:
        bits = 32 if (config.get("dtype") or config.get("torch_dtype")) == "float32" else 16
    found = decoder(config, bits)
    return None if found is None else found.weights


def as_classifier(estimate: Estimate) -> Estimate:
    """The estimate of the same model with one number in the place of its logits: a head that gives a score."""
    if not estimate.weights:
        return estimate
    of_head = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16)
    score = Weight("score.weight", (1, estimate.hidden_size), "other", of_head)
    return replace(
        estimate,
        weights=(*(weight for weight in estimate.weights if weight.kind != "head"), score),
        vocabulary=0,
        flops_per_token=estimate.flops_per_token - 2.0 * estimate.vocabulary * estimate.hidden_size,
    )


def _read(file: Path) -> Mapping[str, Any] | None:
    if not file.is_file():
        return None
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
