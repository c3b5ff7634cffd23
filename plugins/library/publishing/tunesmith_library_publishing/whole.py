"""A whole model as it was published, with what a run changed: its weights, its class and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from tunesmith import TunesmithError
from tunesmith.types import ChatTemplate
from tunesmith_library_weights.dequantising import dequantised

from tunesmith_library_publishing.configs import class_name, write_config, write_generation_config
from tunesmith_library_publishing.endings import set_endings, set_template, untie
from tunesmith_library_publishing.files import OF_FEW_BITS, Files, keep_files, record_files
from tunesmith_library_publishing.inventory import RECORD, Numbers, most, numbers_of, record_numbers, tensors_of
from tunesmith_library_publishing.naming import head_names
from tunesmith_library_publishing.weights import Kept, compose, parts_of, published_tensors, write

LARGEST_FILE = "50GB"
"""Of weights, as transformers writes them."""


@dataclass(frozen=True)
class Result:
    """What was written."""

    tensors: Kept
    files: Files
    class_name: str  # as config.json says it


def base_of(model: Any) -> Path | None:
    """The folder whose weights a model was loaded from, as transformers remembers it.

    None for a model that is not transformers', that is quantised, has an adapter or random weights.
    """
    if not isinstance(model, PreTrainedModel) or getattr(model, "hf_quantizer", None) is not None:
        return None
    folder = Path(model.name_or_path) if model.name_or_path else None
    if folder is None or not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        return None
    plain = all(type(weight.data) in (torch.Tensor, DTensor) for weight in model.parameters())  # or parts of them
    return folder if plain and "quantization_config" not in (folder / "config.json").read_text("utf-8") else None


def save_whole(
    model: Any,
    processor: Any,
    template: ChatTemplate | None,
    base: Path,
    folder: Path,
    *,
    weights: Mapping[str, torch.Tensor] | None = None,
    numbers: Numbers | None = None,
    max_shard_size: str = LARGEST_FILE,
) -> Result:
    """Write a model that was loaded from a base, as other programs load the base.

    Args:
        base: the folder that it was loaded from; tensors and files that the model does not have are taken from it.
        weights: of a model that is spread over processes, gathered.
        numbers: what every tensor is rounded to; None writes the model's as they are, and a record of what the base's
            were, for the export.

    Raises: TunesmithError when a file of the base cannot be read, or what was never loaded of one that is stored in few
        bits is in few bits too; OSError when a file cannot be written.
    """
    stored = tensors_of(base)
    untie(model)
    tensors = published_tensors(model, base, stored, weights)
    layers = dequantised(model)
    given_up = [*parts_of(model, stored, base, layers), *(() if model.can_generate() else head_names(base))]
    entries, kept = compose(tensors, stored, given_up)
    if layers:
        _refuse_few_bits(base, [name for name in kept.unloaded if stored[name].dtype.startswith(("I", "U"))])
    write(entries, folder, max_shard_size, numbers)
    write_config(model, base, folder, numbers.common if numbers else most(tensors_of(folder)))
    if template is not None:
        set_endings(model, template, processor)
        set_template(processor, template)
    write_generation_config(model, base, folder)
    processor.save_pretrained(folder)
    files = keep_files(base, folder, OF_FEW_BITS if layers else ())
    if numbers is None:
        record_numbers(folder, numbers_of(base))
        record_files(folder / RECORD, files)
    return Result(kept, files, class_name(model, base))


def _refuse_few_bits(base: Path, names: Sequence[str]) -> None:
    """Raise TunesmithError for tensors of a base in few bits that would stand in a model which is in full otherwise."""
    if names:
        raise TunesmithError(
            f"{base} holds {len(names)} tensors in few bits that this run never loaded, such as {names[0]}, and "
            "nothing computes them in full.\n  quantizer=null model.path=MODEL merges into the 16-bit version; "
            "exporter=adapter writes what was trained"
        )
