"""The reference model's logits for the tokens that are trained, chunk by chunk where that is possible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import Batch, model_inputs
from tunesmith_library_training import head, parts
from tunesmith_library_training.on_host import trained_positions
from tunesmith_library_training.reference import spread_alike
from tunesmith_library_training.sharding import spread_of
from tunesmith_library_training.token_loss import Beside
from tunesmith_library_weights.switching import adapted_model


@torch.no_grad()
def reference_logits(model: Any, reference: Any, batch: Batch) -> Beside:
    """Run the reference on a batch.

    Its hidden states (K, H) are kept, and its logits computed when they are asked for; where the output layer itself is
    trained, the logits (K, V) are kept.

    Args:
        model: that is trained, wrapped as it may be.
        reference: a model of its own; None is `model` with its adapter switched off.

    Returns: logits (n, V), fp32, of flattened positions as in `token_loss`.
    Raises: TunesmithError when there is neither a reference nor an adapter.
    """
    part = parts.part_of(head.unwrap(model), batch)
    batch = part.batch
    keep = part.positions(trained_positions(batch["labels"]))
    if reference is not None:
        spread_alike(reference, model)
        parts.divide_alike(head.unwrap(reference), head.unwrap(model))
        device = batch["labels"].device
        if spread_of(reference) is None and next(reference.parameters()).device != device:
            reference.to(device)
        return _logits_of(reference, batch, keep)
    adapted = adapted_model(model)
    if adapted is None:
        raise TunesmithError("loss.asft: the model has no adapter to switch off, and no reference was loaded")
    layer = head.unwrap(adapted).get_output_embeddings()
    changes = layer is not None and any(parameter.requires_grad for parameter in layer.parameters())
    with _evaluating(adapted), adapted.disable_adapter():
        logits_of = _logits_of(adapted, batch, keep)
        if not changes:
            return logits_of
        logits = logits_of(slice(0, None))
    return lambda rows: logits[rows]


def _logits_of(model: Any, batch: Batch, keep: torch.Tensor) -> Beside:
    """Run a model up to its output layer; the function that gives its logits."""
    found: list[Beside] = []

    def keep_logits(logits: torch.Tensor, rows: slice) -> torch.Tensor:
        if rows.start is None:  # the model cannot be taken apart, and these are all
            found[:] = [lambda some: logits[some].float()]
        return logits

    def keep_hidden(logits_of: Any, hidden: torch.Tensor, parameters: Any, chunk_size: int) -> torch.Tensor:
        found[:] = [torch.no_grad()(lambda rows: logits_of(hidden[rows], rows).float())]
        return hidden.new_zeros(())

    head.run(model, model_inputs(batch), keep, keep_logits, combine=keep_hidden)
    return found[0]


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, noise and whatever else belongs to training."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
