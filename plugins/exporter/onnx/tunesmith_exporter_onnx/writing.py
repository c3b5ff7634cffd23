"""The export: the merged model becomes a graph, whatever writes it, and onnxruntime says whether it is the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from tunesmith import TunesmithError
from tunesmith.files import replacing
from tunesmith.types import ModelHandle
from tunesmith_library_proving import merging
from tunesmith_library_proving.gate import skipped
from tunesmith_library_publishing.cards import Kind, write_card

from .building import Wanted, build
from .knowing import architecture_of, missing_packages
from .tracing import trace


def export_onnx(handle: ModelHandle, output_dir: Path, wanted: Wanted) -> None:
    """Write the graph, and prove it.

    Raises: TunesmithError when a program is missing or does not know the model, or what it makes is another model.
    """
    for problem in missing_packages():
        raise TunesmithError(f"{problem.message}\n  {problem.advice}")
    merged = merging.merged_folder(handle, output_dir, merging.Wanted(verify=wanted.verify))
    with replacing(output_dir) as draft:
        if writes(merged):
            build(merged, draft, wanted)
        else:
            trace(merged, draft, wanted.precision)
        if wanted.verify:
            from .proof import prove  # which imports what is to be proven with

            prove(handle, merged, draft, wanted)
        else:
            skipped("onnx")
        write_card(handle, draft, Kind("onnxruntime"))


def writes(folder: Path) -> bool:
    """Whether the model in a folder writes text, and is no classifier, nor one that gives vectors."""
    model_class: Any = getattr(transformers, str(architecture_of(folder)), None)
    return model_class is None or bool(model_class.can_generate())
