"""Whether a model keeps the sequences of a concatenated batch apart: asked of the model itself, once."""

from __future__ import annotations

from typing import Any

import torch
from tunesmith import announce

from tunesmith_library_training.stateful import stateful_layers

TOLERANCE = 1e-3
"""A larger answer of `isolates_sequences` means that sequences leak into each other."""

STATEFUL_TOLERANCE = 1e-5
"""The same for a model that carries a state: a short convolution that leaks is below what kernels may round to."""

_LENGTHS = (5, 7)


def takes_concatenated(model: Any, *, announced: bool = True) -> bool:
    """Whether a model can be trained on concatenated batches.

    Args:
        model: not wrapped for data parallelism; on its device.
        announced: say why where it cannot.
    """
    leak, reason = _measured(model)
    stateful = carries_state(model)
    if leak <= (STATEFUL_TOLERANCE if stateful else TOLERANCE):
        return True
    if announced:
        found = reason or f"its sequences would see each other, by {leak:.0e}"
        announce("batches", "padded", f"{stateful or type(model).__name__}: {found}")
    return False


def carries_state(model: Any) -> str | None:
    """What carries a state from token to token in a model: by its configuration, or a convolution over tokens."""
    config = getattr(model, "config", None)
    named = stateful_layers(config.to_dict()) if config is not None else None
    if named:
        return named
    found = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv1d))
    return next(found, None)


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
    return _measured(model)[0]


def _measured(model: Any) -> tuple[float, str]:
    """The leak, and why a model takes no concatenated batch."""
    if getattr(model.config.get_text_config(), "attention_chunk_size", None) and not _chunks_begin_with_sequences():
        return float("inf"), "this transformers counts its chunks of attention from where the row begins"
    try:
        change = (_logits(model, shift=1) - _logits(model, shift=0)).abs()
    except (TypeError, ValueError) as error:
        return float("inf"), " ".join(str(error).split())
    own, other = change[: _LENGTHS[0]].max(), change[_LENGTHS[0] :].max()
    return (other / own).item() if own > 0 else other.item(), ""


def _chunks_begin_with_sequences() -> bool:
    """Whether transformers counts chunks of attention from where each sequence begins; 5.17 does not."""
    from transformers import masking_utils

    return hasattr(masking_utils, "packed_sequence_compatibility_function")


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
