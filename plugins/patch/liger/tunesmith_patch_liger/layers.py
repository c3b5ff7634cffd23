"""Puts Liger's kernels into a loaded model, by Liger's function for its type."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.messages import logger

_DEVICES = ("cuda", "xpu", "npu")  # as torch names them; ROCm is cuda


def require_device() -> None:
    """Raise a TunesmithError where Triton cannot run, which is everywhere but on a GPU and in its interpreter."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    kind = "no GPU" if found is None else found.type
    if kind in _DEVICES or os.environ.get("TRITON_INTERPRET") == "1":
        return
    raise TunesmithError(
        f"patch.liger: its kernels are Triton's and need a GPU ({', '.join(_DEVICES)}); torch finds {kind} here.\n"
        "  leave patch.liger out: the loss is computed in chunks without it, too\n"
        "  TRITON_INTERPRET=1 runs the kernels on the CPU, to test and very slowly"
    )


def patch_layers(model: Any, kernels: Mapping[str, bool], *, loss: bool) -> None:
    """Replace the computation of a model's layers, in place.

    Args:
        model: a transformers model.
        kernels: Liger's options (`rope`, `rms_norm`, …) and whether they are wanted. An option that Liger does not
            have for this type of model, or leaves off by itself, changes nothing.
        loss: whether the loss is Liger's, so that something remains of the patch for a type that Liger does not know.

    Raises: TunesmithError for a type that Liger does not know, without `loss`; and where Liger does not fit the
        installed transformers.
    """
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as PATCHES

    kind = model.config.model_type
    if not any(kernels.values()):
        return
    if kind not in PATCHES:
        message = f"patch.liger: Liger {version('liger-kernel')} has no kernels for the layers of {kind}"
        known = choices(kind, PATCHES, "it has them for")
        if not loss:
            raise TunesmithError(f"{message}.\n  {known}\n  leave patch.liger out")
        logger.warning("%s; only the loss is its. %s", message, known)
        return
    options = choose(PATCHES[kind], kernels)
    try:
        PATCHES[kind](model=model, **options)
    except (AttributeError, ImportError, NotImplementedError, TypeError) as error:
        versions = f"Liger {version('liger-kernel')} and transformers {version('transformers')}"
        raise TunesmithError(
            f"patch.liger: {versions} do not fit together for {kind}: {error}\n"
            "  switch off the part that fails, such as patch.liger.swiglu=false, or leave patch.liger out"
        ) from error
    announce("liger kernels", ", ".join(name for name, on in options.items() if on) or "none", f"of {kind}")


def choose(apply: Any, kernels: Mapping[str, bool]) -> dict[str, bool]:
    """The options to call one of Liger's functions with: those that it has, of them what it and the user want on.

    Its losses stay off: they would replace the model's forward, and the logits are not computed there.
    """
    parameters = inspect.signature(apply).parameters
    options = {name: on and bool(parameters[name].default) for name, on in kernels.items() if name in parameters}
    losses = ("cross_entropy", "fused_linear_cross_entropy")
    return options | {name: False for name in losses if name in parameters}
