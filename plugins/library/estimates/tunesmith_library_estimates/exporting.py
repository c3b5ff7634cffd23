"""What an export takes while it goes on: a model that is merged and written, and what is made of it then.

Exporters that start from a merged model have it written first; what they do comes when that has gone, so that the
larger of both counts. Of several exporters the one that takes the most does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.exported import with_files, written

if TYPE_CHECKING:
    from tunesmith.planning import Plan

FILE, ONE = "a file's weights while they are written", "a weight in float32"
_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4}


def merging(estimate: Estimate, plan: Plan, bits: float, max_shard_size: str = "5GB") -> dict[str, float]:
    """Bytes that merging and writing take beside the model: a file's worth of it, and a weight in float32.

    One that is held in few bits, or in fewer than it is written in, is put into float32 as a whole.

    Args:
        bits: of a number as it is written.
        max_shard_size: of a file, such as `5GB`.
    """
    weights = written(estimate, plan)
    held, count = sum(weight.bytes for weight in weights), sum(weight.count for weight in weights)
    parts = {
        FILE: min(count * bits / 8, size_of(max_shard_size)),
        ONE: 4.0 * max((weight.count for weight in weights), default=0),
    }
    if held < count * max(bits, estimate.stored_bits) / 8:
        parts["the model in float32"] = 4.0 * count - held
    return parts


def while_exporting(estimate: Estimate, *alternatives: Mapping[str, float]) -> Estimate:
    """The estimate with what an export takes beside the model while it writes.

    Args:
        alternatives: bytes by what they are for, of what comes one after the other: what takes the most counts.
    """
    largest = max(alternatives, key=lambda parts: sum(parts.values()))
    before = {what: memory for what, memory in estimate.memory.items() if memory.phases == ("save",)}
    if not estimate.weights or sum(memory.bytes for memory in before.values()) >= sum(largest.values()):
        return estimate
    made = replace(estimate, memory={what: each for what, each in estimate.memory.items() if what not in before})
    for what, size in largest.items():
        made = made.plus(what, Memory(size, phases=("save",)))
    return made


def merged_beside(estimate: Estimate, plan: Plan, bits: float | None = None) -> Estimate:
    """The estimate with the merged model that lies beside an export as long as that goes on.

    Args:
        bits: of a number of it; None is as many as the base's files have.
    """
    if "merged" in plan.names("exporter"):  # which writes it to stay
        return estimate
    size = estimate.stored_bits if bits is None else bits
    return with_files(estimate, "merged model, until the export has ended", lambda weight: size, plan)


def size_of(told: str) -> float:
    """Bytes of a size such as `500MB` or `5GiB`; no end for what is none, which `check` refuses."""
    found = re.fullmatch(r"([\d.]+)\s*([KMGT])(i?)B", told.strip())
    if found is None:
        return float("inf")
    number, unit, binary = found.groups()
    base = 1024.0 if binary else 1000.0
    return float(number) * float(base ** _UNITS[unit])
