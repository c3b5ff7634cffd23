"""What a model costs by its config.json, where that is at hand; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.types import Precision
from tunesmith_library_estimates.architectures import Decoder, decoder, head_width, likeness
from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.cache import Cache, cache_of
from tunesmith_library_estimates.configs import Described, described
from tunesmith_library_estimates.defaults import complete
from tunesmith_library_estimates.estimating import AUTO
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.headers import weights_of_files
from tunesmith_library_estimates.scores import Scores, caps_scores, scores_of
from tunesmith_library_estimates.stored import stored_in
from tunesmith_library_loading.remembered import known
from tunesmith_library_loading.work import Task

if TYPE_CHECKING:
    from tunesmith.planning import Plan


def estimate_model(
    estimate: Estimate,
    path: str,
    overrides: Mapping[str, Any],
    task: Task | None = None,
    plan: Plan | None = None,
    revision: str | None = None,
) -> Estimate:
    """Put the weights of a model into an estimate, in the numbers that are computed in.

    Args:
        task: what is done with it, where `precision=auto` chooses them; as far as it is known what it will be.
        plan: has the hub that the model may be on.
        revision: of the model there.
    """
    about = described(path, plan, revision)
    estimate = _in_known_numbers(estimate, about.folder or Path(path).expanduser(), task, overrides)
    if not about.config:
        return estimate.without(f"the model: {about.why}")
    config = _overridden(about.config, overrides)
    estimate, found = _weights(estimate, about, config)
    if found is None:
        return estimate
    text = complete(config.get("text_config") or config)
    made = replace(
        estimate,
        weights=found.weights,
        hidden_size=found.hidden_size,
        vocabulary=found.vocabulary,
        experts_per_token=found.experts_per_token,
        flops_per_token=found.flops_per_token,
        flops_per_pair=found.flops_per_pair,
        windows=found.windows,
        head_width=head_width(text),
        cache=cache_of(text) or Cache(),
        scores=_scores(estimate, text, plan),
        stored_bits=_bits_of_files(config),
    )
    return _as_stored(made, config)


def _bits_of_files(config: Mapping[str, Any]) -> float:
    """Of a number in the model's files, as its configuration has it; 16 where it does not say."""
    told = config.get("dtype") or config.get("torch_dtype") or ""
    return 32.0 if "32" in str(told) else 16.0


def _scores(estimate: Estimate, text: Mapping[str, Any], plan: Plan | None) -> Scores:
    attention = "auto" if plan is None else str(plan.get("model.attention", "auto"))
    device = estimate.machine.device
    computed = 4 if estimate.precision == "fp32" else 2
    return scores_of(text, attention, computed, device, capped=caps_scores(device))


def _in_known_numbers(estimate: Estimate, folder: Path, task: Task | None, overrides: Mapping[str, Any]) -> Estimate:
    """The estimate with what `precision=auto` will be, where that is known without torch."""
    precision = None if task is None else _precision(estimate, folder, task, overrides)
    if precision is None:
        return estimate
    unknown = tuple(what for what in estimate.unknown if what != AUTO)
    return replace(estimate, precision=precision, unknown=unknown)


def _precision(estimate: Estimate, folder: Path, task: Task, overrides: Mapping[str, Any]) -> Precision | None:
    machine = estimate.machine
    if machine.device in ("", "cpu"):
        return known(folder, task, overrides)
    if task.former:
        return task.former
    if not machine.flops:
        return None
    return "bf16" if machine.flops.get("bf16") else "fp32"


def _overridden(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration with the values of the user, in its part for text where that has them."""
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        return {**config, **overrides}
    inside = {key: value for key, value in overrides.items() if key in text}
    return {**config, **overrides, "text_config": {**text, **inside}}


def _weights(estimate: Estimate, about: Described, config: Mapping[str, Any]) -> tuple[Estimate, Decoder | None]:
    """The model's weights by its form; else by its files, and in the last resort by a likeness, which is said."""
    bits = 32 if estimate.precision == "fp32" else 16
    kind = f"model_type={config.get('model_type')}"
    found = decoder(config, bits, about.is_shown)
    if found is not None:
        return estimate, found
    found = likeness(config, bits)
    stored = weights_of_files(about.folder, bits) if about.folder else ()
    if stored:
        met = 2.0 * sum(weight.count for weight in stored if weight.is_matrix)
        if found is None:
            found = Decoder(stored, 0, 0, 1, met, 0.0)
        found = replace(found, weights=stored)
        return estimate.without(
            f"the form of the layers: {kind} is not known; the weights are those of its files"
        ), found
    if found is None:
        return estimate.without(f"the model: the weights of {kind} are not known"), None
    return estimate.without(
        f"what {kind} has beside layers of the form of {found.taken_for}'s, for which it is taken"
    ), found


def _as_stored(estimate: Estimate, config: Mapping[str, Any]) -> Estimate:
    """The estimate of a model that is stored in few bits; of methods for GPUs these are undone elsewhere."""
    if not config.get("quantization_config"):
        return estimate
    stored = stored_in(config)
    if stored is None:
        return estimate.without("the few bits that the model is stored in")
    if stored.on_gpus and estimate.machine.device == "cpu":
        return estimate
    return in_few_bits(estimate, stored.bits, stored.skip, what=stored.told, experts=stored.experts)
