"""How much memory keys and values take, by what the head of a file says: before llama.cpp takes it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tunesmith import TunesmithError

_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}  # of a number, with its block's scale


def cache_bytes(metadata: Mapping[str, str], cache: str) -> float | None:
    """Bytes that the keys and values of one token take in all layers; None where the file does not say it.

    Args:
        metadata: of the file, as text.
        cache: the numbers that they are held in.
    """
    architecture = metadata.get("general.architecture", "")

    def said(name: str) -> int:
        return int(metadata[f"{architecture}.{name}"])

    try:
        layers, heads, width = said("block_count"), said("attention.head_count"), said("embedding_length")
        groups = said("attention.head_count_kv") if f"{architecture}.attention.head_count_kv" in metadata else heads
        sizes = [
            said(name) if f"{architecture}.{name}" in metadata else width // heads
            for name in ("attention.key_length", "attention.value_length")
        ]
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return layers * groups * sum(sizes) * _BYTES[cache]


def physical_memory() -> int | None:
    """Bytes of memory that this machine has; None where it does not say it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def refuse_too_many(metadata: Mapping[str, str], cache: str, tokens: int) -> None:
    """Raises: TunesmithError for more tokens than the memory of this machine can hold, which would end the process."""
    each, there = cache_bytes(metadata, cache), physical_memory()
    if each is None or there is None or each * tokens <= there:
        return
    raise TunesmithError(
        f"keys and values of {tokens} tokens take {each * tokens / 2**30:,.1f} GiB in {cache}, and this machine has "
        f"{there / 2**30:,.1f} GiB.\n  {int(there / each / 2):,} tokens would take half of that; "
        "numbers of fewer bits take less: cache=q8_0"
    )
