"""What unsloth does not go with, before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith.types import Problem
from tunesmith_library_weights.folders import model_problems
from tunesmith_library_weights.plans import suitable

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Unsloth

_METHOD = "bitsandbytes"  # the form of weights that unsloth's kernels read
_OWN_BITS = {"quant_type": "nf4", "double_quant": True, "storage": "uint8", "skip_modules": [], "threshold": 6.0}


def check(model: Unsloth, plan: Plan, installed: bool) -> list[Problem]:
    """All problems of the options by themselves and with other plugins.

    Args:
        installed: whether the package unsloth is.
    """
    if plan.command == "export":
        return _check_export()
    training = _check_training(model, plan) if plan.command == "train" else []
    found = model_problems(model.path, "model.path")
    return [*found, *_check_package(installed), *_check_quantizer(plan), *_check_patches(plan), *training]


def _check_package(installed: bool) -> list[Problem]:
    if installed:
        return []
    advice = "pip install unsloth into an environment of its own (it pins transformers and trl), or model=transformers"
    return [Problem("model", "model=unsloth needs the package unsloth.", advice)]


def _check_quantizer(plan: Plan) -> list[Problem]:
    quantizer = plan.traits("quantizer")
    if quantizer is None:
        return []
    if quantizer.method != _METHOD:
        message = f"unsloth's kernels read the weights of {_METHOD}, not of quantizer={plan.name('quantizer')}."
        found = suitable(plan, "quantizer", lambda traits: traits.method == _METHOD)
        return [Problem("quantizer", message, f"{found or f'a quantizer of {_METHOD}'}, or model=transformers")]
    return [
        Problem(f"quantizer.{name}", f"unsloth quantises itself, with {name}={own}.", f"quantizer.{name}={own}")
        for name, own in _OWN_BITS.items()
        if plan.get(f"quantizer.{name}", own) != own
    ]


def _check_patches(plan: Plan) -> list[Problem]:
    return [
        Problem(f"patch.{name}", f"unsloth has changed the layers that patch={name} changes.", "model=transformers")
        for name in plan.names("patch")
        if not plan.traits("patch", name).keeps_layers
    ]


def _check_training(model: Unsloth, plan: Plan) -> list[Problem]:
    problems, adapter = [], plan.traits("adapter")
    if adapter is not None and not adapter.low_rank:
        message = f"unsloth's kernels are for LoRA, not for adapter={plan.name('adapter')}."
        found = suitable(plan, "adapter", lambda traits: traits.low_rank) or "an adapter with LoRA's matrices"
        problems.append(Problem("adapter", message, f"{found}, or model=transformers"))
    if plan.get("trainer.padding_free", False):
        message = "unsloth does not keep the sequences of a concatenated batch apart."
        problems.append(Problem("trainer.padding_free", message, "trainer.padding_free=false"))
    for name in ("gradient_checkpointing", "torch_compile"):
        if plan.get(f"trainer.{name}", False):
            message = f"unsloth brings its own: trainer.{name} would be a second."
            advice = f"trainer.{name}=false" + ("; model.gradient_checkpointing is unsloth's" if "grad" in name else "")
            problems.append(Problem(f"trainer.{name}", message, advice))
    longest = plan.get("stage.max_length", 0) or 0
    if longest > model.max_seq_length:
        message = f"stage.max_length={longest} is above model.max_seq_length={model.max_seq_length}."
        problems.append(Problem("model.max_seq_length", message, f"model.max_seq_length={longest}"))
    slow = {"adapter.dropout": 0.0, "adapter.bias": "none", "adapter.use_dora": False}
    for key, fast in slow.items():
        if plan.get(key, fast) != fast:
            message = f"{key}={plan.get(key)} keeps unsloth's LoRA kernels from being used."
            problems.append(Problem(key, message, f"{key}={str(fast).lower()}", "warning"))
    return problems


def _check_export() -> list[Problem]:
    message = "what unsloth trained is a plain LoRA, and is exported from a plain model."
    return [Problem("model", message, "tunesmith export RUN model=transformers model.path=PATH")]
