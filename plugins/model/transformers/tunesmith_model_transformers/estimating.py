"""What a model costs by its config.json, where that is at hand; without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith_library_estimates.architectures import decoder
from tunesmith_library_estimates.cache import Cache, cache_of
from tunesmith_library_estimates.estimating import AUTO
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_loading.remembered import known
from tunesmith_library_loading.work import Task


def estimate_model(estimate: Estimate, path: str, overrides: Mapping[str, Any], task: Task | None = None) -> Estimate:
    """Put the weights of a model into an estimate, in the numbers that are computed in.

    Args:
        task: what is done with it, where `precision=auto` chooses them; as far as it is known what it will be.
    """
    file = Path(path).expanduser() / "config.json"
    precision = None if task is None else known(file.parent, task, overrides)
    if precision is not None:
        unknown = tuple(what for what in estimate.unknown if what != AUTO)
        estimate = replace(estimate, precision=precision, unknown=unknown)
    if not file.is_file():
        return estimate.without(f"the model: the config.json of {path} is not at hand")
    config = json.loads(file.read_text(encoding="utf-8")) | dict(overrides)
    found = decoder(config, bits=32 if estimate.precision == "fp32" else 16)
    if found is None:
        return estimate.without(f"the model: the weights of model_type={config.get('model_type')} are not known")
    if config.get("quantization_config"):
        estimate = estimate.without("the few bits that the model is stored in")
    return replace(
        estimate,
        weights=found.weights,
        hidden_size=found.hidden_size,
        vocabulary=found.vocabulary,
        experts_per_token=found.experts_per_token,
        flops_per_token=found.flops_per_token,
        flops_per_pair=found.flops_per_pair,
        cache=cache_of(config.get("text_config") or config) or Cache(),
    )
