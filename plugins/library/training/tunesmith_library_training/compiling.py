"""torch.compile, layer by layer: what stands between the layers, and the loss within the output layer, is not compiled.

All layers of a kind share one compiled graph, whose number of tokens is left open, so that batches without padding, of
which each has another length, are not compiled again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith_library_weights.layers import find_layers
from tunesmith_library_weights.shares import matrices, share

from tunesmith_library_training import attention, varlen
from tunesmith_library_training.head import unwrap


def compile_layers(model: Any, backend: str | Callable[..., Any] = "inductor") -> int:
    """Compile each transformer layer of a model, in place, and say which share of its weights they hold.

    Args:
        model: of transformers, with or without peft's adapter.
        backend: of torch.compile.

    Returns: how many layers there are.
    Raises: TunesmithError where they are not found, or nobody knows the backend.
    """
    known = torch.compiler.list_backends(exclude_tags=())
    if isinstance(backend, str) and backend not in known:
        raise TunesmithError(f"trainer.torch_compile_backend={backend}: torch has none.\n  {choices(backend, known)}")
    base = unwrap(model)
    try:
        name, layers = find_layers(base)
    except (AttributeError, TunesmithError) as error:
        raise TunesmithError(f"trainer.torch_compile: {error}\n  trainer.torch_compile=false") from error
    kernel = varlen.found()
    if kernel is not None and base.config._attn_implementation == attention.NAME:
        attention.use(base, kernel)  # what is looked for within a compiled layer is looked for at each compilation
    for layer in layers:
        layer.compile(backend=backend, dynamic=True)
    counts = matrices(base)
    within = {matrix for matrix in counts if matrix.startswith(f"{name}.")}
    reached, rest = share(counts, within, rest="not compiled")
    announce("compiled", f"{len(layers)} layers, {reached}", f"trainer.torch_compile; {rest}")
    return len(layers)
