"""What llama.cpp takes: its file, keys and values for as many tokens as it has memory for, and one batch's logits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.planning import Plan
from tunesmith_library_engine.estimating import KEYS_AND_VALUES
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight

if TYPE_CHECKING:
    from tunesmith_engine_llamacpp import LlamaCpp

LONGEST, BATCH = 16_384, 512  # as in `loading`
BITS = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q4_0": 4.5}  # of a number, with its share of a scale


def estimate_engine(options: LlamaCpp, estimate: Estimate, plan: Plan) -> Estimate:
    """Put the file in the place of the weights, and add what answers take."""
    file = _file(str(plan.get("model.path") or ""))
    made = estimate
    if file is None:
        made = made.without("the few bits of a GGUF file: none is at hand")
    else:
        made = replace(made, weights=(Weight(file.name, (file.stat().st_size,), "other", 8),))
    if options.gpu_layers >= 0:
        made = made.without(f"the share of the layers beyond engine.gpu_layers={options.gpu_layers}, on the host")
    if not estimate.cache.columns:
        return made.without("keys and values: the layers are not known")
    tokens = options.context_length or min(estimate.cache.context or LONGEST, LONGEST)
    apart = options.batch_size if options.memory == "apart" else 1
    # windows are not made use of where several answers share the memory, and at most one answer has all of it
    size = apart * tokens * estimate.cache.per_token * BITS[options.cache] / 8
    made = made.plus(KEYS_AND_VALUES, Memory(size, phases=("generate",), of="cache"))
    logits = 4.0 * min(BATCH, tokens) * estimate.vocabulary
    made = made.plus("logits", Memory(logits, phases=("generate",), of="activations"))
    return made.offering(*_changes(options, tokens))


def _file(path: str) -> Path | None:
    """The GGUF file that is meant by a path, where it is at hand."""
    place = Path(path).expanduser()
    if place.suffix == ".gguf":
        return place if place.is_file() else None
    found = sorted(place.glob("*.gguf")) if place.is_dir() else []
    return found[0] if len(found) == 1 else None


def _changes(options: LlamaCpp, tokens: int) -> list[Change]:
    changes = []
    if BITS[options.cache] > BITS["q8_0"]:
        changes.append(Change(("engine.cache=q8_0",), "exactness", "keys and values are rounded to 8 bits"))
    if options.memory == "apart" and options.batch_size > 1:
        changes.append(Change(("engine.memory=shared",), "time", "answers share the memory of one"))
    if tokens > 2_048:
        costs = f"a prompt with its answer has {tokens // 2:,} tokens at most"
        changes.append(Change((f"engine.context_length={tokens // 2}",), "method", costs))
    return changes
