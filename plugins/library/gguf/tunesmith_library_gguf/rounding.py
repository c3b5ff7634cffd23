"""Rounding by llama.cpp's quantiser, and the importance matrix that it may go by."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tunesmith import announce
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_llamacpp.importance import importance_matrix
from tunesmith_library_llamacpp.quantising import quantize
from tunesmith_library_proving.texts import texts_of

_CONVERSATIONS = 256  # of the run, that an importance matrix is made of


def round_file(source: Path, target: Path, kind: str, matrix: Path | None, told: bool = True) -> dict[str, int]:
    """Round the tensors of a file to fewer bits.

    Args:
        told: say which tensors the matrix has nothing of; False for a file beside one of which that was said.

    Returns: how many tensors were to have one type and got another, for the lengths of their rows: `q4_K, now q5_0`.
    Raises: TunesmithError with llama.cpp's reason.
    """
    found = quantize(source, target, kind, matrix)
    if found.unweighted and told:
        count = len(found.unweighted)
        what = "1 tensor was" if count == 1 else f"{count} tensors were"
        logger.warning("GGUF: %s rounded without importance: %s", what, found.unweighted[0])
    return dict(Counter(f"{wanted}, now {got}" for wanted, got in found.fallbacks.values()))


def importance(handle: ModelHandle, file: Path, target: Path) -> None:
    """Measure, on the run's own conversations, which inputs of each layer are large.

    Args:
        file: the model in the numbers that it was trained in.
    """
    texts = texts_of(handle, _CONVERSATIONS)
    ids = [list(text.ids) for text in texts.texts if text.ids]
    importance_matrix(file, ids, target)
    announce("importance matrix", f"{len(ids)} conversations", texts.origin)
