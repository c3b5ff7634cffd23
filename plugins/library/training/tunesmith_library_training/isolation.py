"""Whether a model keeps the sequences of a concatenated batch apart: asked of the model itself, once."""

from __future__ import annotations

from typing import Any

import torch
from tunesmith.messages import logger

TOLERANCE = 1e-3
"""A larger answer of `isolates_sequences` means that sequences leak into each other."""

_LENGTHS = (5, 7)


def isolates_sequences(model: Any) -> float:
    """Measure how much the second sequence of a concatenated batch feels what the first one says.

    The model runs twice over two sequences in one row of equal shape; only the tokens of the first differ. It stays
    in training mode, with the same random numbers both times: some quantised layers repack their weights when they
    are first evaluated, and dropout must not look like a leak.

    Args:
        model: not wrapped for data parallelism; on its device.

    Returns: the largest change of the second sequence's logits over the largest change of the first's; 0 when
        nothing leaks, of the order of 1 when everything does; infinite for a model that takes no such batch.
    """
    try:
        change = (_logits(model, shift=1) - _logits(model, shift=0)).abs()
    except (TypeError, ValueError) as error:
        logger.warning("%s takes no concatenated batch: %s", type(model).__name__, error)
        return float("inf")
    own, other = change[: _LENGTHS[0]].max(), change[_LENGTHS[0] :].max()
    return (other / own).item() if own > 0 else other.item()


@torch.no_grad()
def _logits(model: Any, shift: int) -> torch.Tensor:
    """Logits (T, V) of the two sequences in fp32; `shift` moves the token ids of the first one."""
    device = model.get_input_embeddings().weight.device
    tokens = torch.arange(sum(_LENGTHS)) * 7 + 11
    tokens[: _LENGTHS[0]] += 3 * shift
    tokens %= model.config.get_text_config().vocab_size
    bounds = torch.tensor([0, _LENGTHS[0], sum(_LENGTHS)], dtype=torch.int32, device=device)
    positions = torch.cat([torch.arange(length) for length in _LENGTHS])
    training = model.training
    model.train()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            output = model(
                input_ids=tokens.unsqueeze(0).to(device),
                position_ids=positions.unsqueeze(0).to(device),
                cu_seq_lens_q=bounds,
                cu_seq_lens_k=bounds,
                max_length_q=max(_LENGTHS),
                max_length_k=max(_LENGTHS),
                use_cache=False,
            )
    finally:
        model.train(training)
    logits: torch.Tensor = output.logits[0].float()
    return logits
