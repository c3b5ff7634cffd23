"""Other models beside the one that is trained, by their own `config.json`; and the one that gives a score."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.architectures import decoder
from tunesmith_library_estimates.configs import described
from tunesmith_library_estimates.estimation import Estimate, Weight

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def weights_at(path: str, bits: int | None = None, plan: Plan | None = None) -> tuple[Weight, ...] | None:
    """The weights of a model in a folder or on a hub, or of the one that an adapter there is for.

    Args:
        bits: of a number in memory; None is as many as the file says that the weights are saved in.
        plan: has the hubs that may be asked; without it folders alone are looked at.

    Returns: None where no such file is at hand, or its architecture is not known.
    """
    about = described(path, plan)
    config = about.config
    if not config:
        return None
    if bits is None:
        bits = 32 if (config.get("dtype") or config.get("torch_dtype")) == "float32" else 16
    found = decoder(config, bits, about.is_shown)
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
