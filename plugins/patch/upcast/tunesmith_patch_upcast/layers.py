"""Makes the weights of norms, and what an output layer gives, fp32, in a model that is loaded."""

from __future__ import annotations

from typing import Any

import torch
from tunesmith import announce
from tunesmith.messages import logger

_NAMES = ("norm", "ln")  # parts of the names of norms: input_layernorm, q_norm, ln_1


def upcast_norms(model: Any) -> int:
    """Hold the weights and biases of norms, (H,), in fp32, and say how many.

    A norm is known by its class or, as LLaMA-Factory knows it, by its name.

    Returns: how many tensors were made fp32.
    """
    found = [(owner, weight) for owner, weight in _norms(model) if weight.is_floating_point()]
    narrow = [(owner, weight) for owner, weight in found if weight.dtype != torch.float32]
    for _, weight in narrow:
        weight.data = weight.data.float()
    norms, made = (len({owner for owner, _ in pairs}) for pairs in (found, narrow))
    numbers = sum(weight.numel() for _, weight in narrow)
    if not found:
        logger.warning("patch.upcast: %s has no norms with weights; nothing was made fp32", type(model).__name__)
    elif not narrow:
        announce("norms", f"all {norms} are fp32 already", "patch.upcast.norms")
    else:
        rest = f"; {norms - made} were fp32 already" if norms > made else ""
        announce(
            "norms", f"{made} of {norms} made fp32 ({len(narrow)} tensors, {numbers:,} numbers){rest}", "patch.upcast"
        )
    return len(narrow)


def _norms(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """The one-dimensional weights of norms, with the name of each one's module."""
    found = []
    for name, module in model.named_modules():
        named = any(part in name.rpartition(".")[2].lower() for part in _NAMES)
        if named or "norm" in type(module).__name__.lower():
            own = module.named_parameters(recurse=False)
            found += [(name, weight) for _, weight in own if weight.ndim == 1]
    return found


def upcast_logits(model: Any) -> bool:
    """Make what the output layer gives, (B, T, V), fp32, and say whether there was anything to make.

    Returns: whether the layer computes in fewer bits.
    """
    while not hasattr(model, "get_output_embeddings"):
        model = model.module
    layer = model.get_output_embeddings()
    if layer is None:
        logger.warning("patch.upcast.logits: %s has no output layer; nothing was made fp32", type(model).__name__)
        return False
    layer.register_forward_hook(_as_float)
    announce("logits", "made fp32", f"patch.upcast.logits; the output layer is held in {_dtype(layer)}")
    return True


def _dtype(layer: torch.nn.Module) -> str:
    """In which numbers a layer holds its weights, as it is told."""
    return next((str(weight.dtype).removeprefix("torch.") for weight in layer.parameters()), "no weights of its own")


def _as_float(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.float()
