"""Gives a loaded model new rotary embeddings, as transformers would have built it from the new configuration."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable
from typing import Any

import torch
from tunesmith import TunesmithError, announce

from tunesmith_patch_rope_scaling.parameters import Scaling, scaled_parameters


def stretch(model: Any, scaling: Scaling, tokenizer: Any = None) -> Any:
    """Change a model's configuration and rebuild what is computed from it.

    Args:
        model: a transformers model; changed in place.
        tokenizer: its `model_max_length` is raised to what the model reads, so that servers do not cut it off.

    Returns: the model.
    Raises: TunesmithError when its rotary embeddings cannot be scaled in this way.
    """
    config = model.config.get_text_config()
    scaled = scaled_parameters(config, scaling)
    if scaled is None:
        return model
    rotary = _rotary_embeddings(model, config)
    _check_lists(rotary, scaling)
    config.rope_parameters = scaled.rope_parameters
    config.max_position_embeddings = scaled.max_position_embeddings
    if hasattr(config, "original_max_position_embeddings"):  # Phi 3 keeps it beside the parameters, and prefers it
        config.original_max_position_embeddings = scaled.original
    try:
        config.validate_rope()
    except ValueError as error:
        raise TunesmithError(
            f"patch.rope_scaling: {config.model_type} does not take type={scaling.type}: {error}"
        ) from error
    for name, module in rotary.items():
        with torch.device(_buffer(module).device):
            model.set_submodule(name, type(module)(config=config).train(module.training))
    _renew_attention(model)
    if tokenizer is not None and hasattr(tokenizer, "model_max_length"):
        tokenizer.model_max_length = max(tokenizer.model_max_length, scaled.reach)
    why = f"reads {scaled.reach} tokens, trained on {scaled.original}"
    announce("rope scaling", f"{scaling.type}, factor {scaled.reach / scaled.original:g}", why)
    return model


def _rotary_embeddings(model: Any, config: Any) -> dict[str, Any]:
    """The text model's rotary embeddings by name."""
    modules = model.named_modules(remove_duplicate=False)
    found = {name: part for name, part in modules if _is_rotary(part) and type(part.config) is type(config)}
    strange = {  # a layer with a configuration of its own, as Granite's windows have, would not be changed
        type(part).__name__
        for part in found.values()
        if part.config is not config or not set(inspect.signature(type(part)).parameters) <= {"config", "device"}
    }
    if not found or strange:
        why = f"{', '.join(sorted(strange))} is built in a way of its own" if strange else "none was found to rebuild"
        raise TunesmithError(
            f"patch.rope_scaling: the rotary embeddings of {type(model).__name__} cannot be scaled: {why}.\n"
            "  leave the patch out"
        )
    return found


def _is_rotary(module: Any) -> bool:
    """Whether a module itself, not one inside it, holds frequencies that it took from a configuration."""
    frequencies = any(name.endswith("inv_freq") for name, _ in module.named_buffers(recurse=False))
    return frequencies and hasattr(module, "config")


def _buffer(module: Any) -> torch.Tensor:
    """The frequencies of a rotary embedding; of layers that look far back, where kinds of layers have their own."""
    named: Iterable[tuple[str, torch.Tensor]] = module.named_buffers(recurse=False)
    buffers = {name: buffer for name, buffer in named if name.endswith("inv_freq")}
    return buffers.get("full_attention_inv_freq", next(iter(buffers.values())))


def _check_lists(rotary: dict[str, Any], scaling: Scaling) -> None:
    frequencies = _buffer(next(iter(rotary.values()))).numel()
    for name in ("short_factor", "long_factor"):
        given = scaling.options.get(name)
        if given is not None and len(given) != frequencies:
            raise TunesmithError(
                f"patch.rope_scaling.{name} has {len(given)} numbers, the model {frequencies} frequencies.\n"
                "  give one number per frequency"
            )


def _renew_attention(model: Any) -> None:
    """Take the scale of the attention scores from a model built anew: DeepSeek's depends on the rotary parameters."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        fresh = type(model)(copy.deepcopy(model.config))
    parts = dict(model.named_modules())
    for name, module in fresh.named_modules():
        scale, part = getattr(module, "scaling", None), parts.get(name)
        if part is not None and isinstance(scale, float) and isinstance(getattr(part, "scaling", None), float):
            part.scaling = scale
