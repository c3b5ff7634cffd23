"""What models make of answers: log-probabilities by a model or an engine, scores by a sequence classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tunesmith import DataError, TunesmithError, open_model
from tunesmith.runs import is_run
from tunesmith.types import IGNORED, Engine, ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_training.batches import by_length, pad, shown, unpack
from tunesmith_library_training.encoding import Encoded
from tunesmith_library_training.log_probs import sequence_log_probs
from tunesmith_library_weights.switching import evaluating

from tunesmith_evaluator_preference.pairs import Pair, Value, items_of

_KEY = "evaluator.preference"


def log_probs(model: Any, pairs: Sequence[Pair], processor: Any, batch_tokens: int) -> list[tuple[Value, Value]]:
    """How likely the answers are, chosen and rejected."""

    def totals(batch: dict[str, Any]) -> list[float]:
        sums: list[float] = sequence_log_probs(model, batch).sums.tolist()
        return sums

    return _run(model, pairs, processor, batch_tokens, totals)


def scores(model: Any, pairs: Sequence[Pair], processor: Any, batch_tokens: int) -> list[tuple[Value, Value]]:
    """The scores of the answers by a sequence classifier: those of their last tokens that are no padding.

    Raises: TunesmithError for a model that gives none.
    """
    if not hasattr(model.config, "num_labels") or getattr(model, "can_generate", bool)():
        raise TunesmithError(f"{type(model).__name__} gives no scores.\n  measure a run of stage=reward")
    padding = model.config.get_text_config().pad_token_id

    def totals(batch: dict[str, Any]) -> list[float]:
        tokens, mask = batch["input_ids"], batch["attention_mask"]
        batch["input_ids"] = tokens = tokens.masked_fill(mask == 0, padding)  # by it transformers finds the last token
        inputs = {name: value for name, value in batch.items() if name not in ("labels", "num_items")}
        logits = model(**inputs, use_cache=False).logits.float()  # (B, 1); while it is trained (B, T, 1)
        if logits.ndim == 3:
            last = (torch.arange(tokens.shape[1], device=tokens.device) * (tokens != padding)).amax(dim=1)
            logits = logits[torch.arange(len(logits), device=logits.device), last]
        found: list[float] = logits[:, 0].tolist()
        return found

    return _run(model, pairs, processor, batch_tokens, totals)


def _run(
    model: Any,
    pairs: Sequence[Pair],
    processor: Any,
    batch_tokens: int,
    totals: Callable[[dict[str, Any]], list[float]],
) -> list[tuple[Value, Value]]:
    """Run a model over the sequences of pairs, those of like length together."""
    sequences = [sequence for pair in pairs for sequence in (pair.chosen, pair.rejected)]
    device = model.get_input_embeddings().weight.device
    values: dict[int, Value] = {}
    with evaluating(model), torch.no_grad():
        for places in by_length([len(sequence["input_ids"]) for sequence in sequences], batch_tokens):
            some = [sequences[place] for place in places]
            batch = pad([unpack({name: each[name] for name in ("input_ids", "labels")})[0] for each in some])
            batch.update(shown(batch, [items_of(each) for each in some], processor))
            moved = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
            for place, total in zip(places, totals(moved), strict=True):
                values[place] = Value(total, sequences[place].trained)
    return [(values[2 * place], values[2 * place + 1]) for place in range(len(pairs))]


def log_probs_by_engine(engine: Engine, pairs: Sequence[Pair]) -> list[tuple[Value, Value]]:
    """How likely the answers are by an engine. Raises: DataError for pairs that show something."""
    sequences = [sequence for pair in pairs for sequence in (pair.chosen, pair.rejected)]
    if column := next((name for each in sequences for name, items in items_of(each).items() if len(items)), None):
        advice = f"{_KEY}.through=model lets the model itself read them"
        raise DataError(f"preference: an engine scores text alone, and the data have {column}.\n  {advice}")
    scored = engine.score([list(sequence["input_ids"]) for sequence in sequences])
    values = [_summed(sequence, found) for sequence, found in zip(sequences, scored, strict=True)]
    return [(values[2 * place], values[2 * place + 1]) for place in range(len(pairs))]


def _summed(sequence: Encoded, scored: Sequence[Any]) -> Value:
    answer = zip(scored, sequence["labels"][1:], strict=True)  # nothing predicts the first token
    return Value(math.fsum(found.value for found, label in answer if label != IGNORED), sequence.trained)


def load_reference(address: str, handle: ModelHandle) -> Any:
    """The model to compare with, in the same numbers.

    Raises: TunesmithError for one that has other tokens.
    """
    folder = Path(address).expanduser()
    config = str(folder) if is_run(folder) else {"model": {"path": address}}
    other = open_model(config, {"precision": handle.source.precision})
    here, there = (tokenizer_of(each.processor).get_vocab() for each in (handle, other))
    if here != there:
        raise TunesmithError(
            f"{_KEY}.reference={address} has other tokens than the model ({len(there):,} and {len(here):,}).\n"
            "  log-probabilities compare between models with one tokenizer: name the model that the training began with"
        )
    return other.load().requires_grad_(False)
