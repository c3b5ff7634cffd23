"""Weights that are parts of a mapped file, which is held whole as long as one of them is in use.

On a CPU transformers maps a model's files and makes its weights of them, where the numbers stay the same. Once the
linear layers are quantised, embeddings and norms alone hold all that these layers were.
"""

from __future__ import annotations

from typing import Any


def copy_out(model: Any) -> Any:
    """Copy what a quantizer left as it was out of the model's files, on CPUs, so that these are let go.

    Args:
        model: a module; its weights stay the same objects.

    Returns: the model.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.is_floating_point() and _is_plain(tensor):
            tensor.data = tensor.detach().clone()
    return model


def _is_plain(tensor: Any) -> bool:
    """Whether it is no quantised one of a class of its own, which has files of its own kind."""
    return f"{type(tensor.data).__module__}.{type(tensor.data).__qualname__}" == "torch.Tensor"
