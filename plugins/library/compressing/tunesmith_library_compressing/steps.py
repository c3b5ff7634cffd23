"""From a trained model to a proven folder in few bits: calibrate, merge, round layer by layer, write, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tunesmith import TunesmithError
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import Batch, ModelHandle
from tunesmith_library_proving.gate import skipped
from tunesmith_library_proving.merging import Wanted as Merged
from tunesmith_library_proving.merging import merged_folder
from tunesmith_library_proving.quieting import errors_only
from tunesmith_library_proving.readers import load_folder
from tunesmith_library_proving.texts import calibration_texts
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.inventory import read_json, tensors_of

from tunesmith_library_compressing.layers import Layers, layers_of, names_in_files, say_share, warn_of_torn
from tunesmith_library_compressing.methods import Method, Stored
from tunesmith_library_compressing.proof import Proof
from tunesmith_library_compressing.writing import tensors_to_write, write_folder


@dataclass(frozen=True)
class Wanted:
    """What the exporters' common options say."""

    form: str  # the exporter's name
    data: str | None  # what to calibrate on; None: the run's own data
    max_shard_size: str = "5GB"
    verify: bool = True


def export_in_few_bits(handle: ModelHandle, output_dir: Path, method: Method, wanted: Wanted) -> None:
    """Write a model in few bits, and prove it. One model is in memory at a time, and one decoder layer's activations.

    Raises: TunesmithError when the base is quantised, there is nothing to calibrate on, no layer can be rounded, or
        what was written is not the model that was trained.
    """
    if wanted.verify:
        refuse_unreadable(handle.source.path, method)
    else:
        skipped(wanted.form)
    batches = _batches(handle, method, wanted)
    whole = merged_folder(handle, output_dir, Merged(method.dtype, verify=wanted.verify, reason="the scheme's"))
    proof = Proof(handle, method, wanted.form, whole.parent) if wanted.verify else None
    if proof is not None:
        proof.base(lambda model, folder: _round(model, folder, method, batches, proven=True))
    model = load_folder(whole, None, None, type(handle.processor)).model
    _warn_of_little(model, batches)
    stored, layers = _round(model, whole, method, batches, proven=proof is not None)
    warn_of_torn(layers, stored.layers)
    names = names_in_files(model, whole, layers, stored.layers)
    few, full = say_share(whole, names, f"in {method.settings.bits} bits")
    if proof is not None:
        data = method.settings.data if method.looks else None
        counts = {"share": few, "in_full": full, "uneven": list(layers.unfit), "calibrated_on": data}
        proof.rounded(model, counts)
    tensors, gone = tensors_to_write(stored, layers), {f"{name}.weight" for name in names.rounded}
    del model
    with replacing(output_dir) as draft:
        write_folder(whole, draft, tensors, gone - tensors.keys(), method.config(names), wanted.max_shard_size)
        if proof is not None:
            proof.written(draft, whole, tensors, sorted(gone))
        write_card(handle, draft, Kind(relation="quantized"))


def refuse_unreadable(base: Path, method: Method) -> None:
    """Raise TunesmithError, before anything is merged, for a model that the format's program could not load.

    A class that transformers does not have is judged when it is rounded.
    """
    said = read_json(base / "config.json")
    known = getattr(transformers, next(iter(said.get("architectures") or ()), ""), None)
    if known is None or "auto_map" in said:
        return
    with torch.device("meta"), errors_only("transformers"):
        outline = known(transformers.AutoConfig.from_pretrained(base))
    if why := method.unreadable(outline, tensors_of(base)):
        raise TunesmithError(why)


def _round(
    model: Any, folder: Path, method: Method, batches: Sequence[Batch], *, proven: bool
) -> tuple[Stored, Layers]:
    why = method.unreadable(model, tensors_of(folder)) if proven else ""
    if why:
        raise TunesmithError(why)
    layers = layers_of(model, folder, method)
    with torch.no_grad():
        return method.round(model, batches, layers.skip), layers


def _batches(handle: ModelHandle, method: Method, wanted: Wanted) -> list[Batch]:
    """What is looked at, conversation by conversation."""
    if not method.looks:
        return []
    settings = method.settings
    found = calibration_texts(handle, settings.samples, wanted.data, f"{settings.key}.data")
    return [{"input_ids": torch.tensor([text.ids[: settings.length]])} for text in found.texts if text.ids]


def _warn_of_little(model: Any, batches: Sequence[Batch]) -> None:
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    widest = max((layer.in_features for layer in model.modules() if isinstance(layer, torch.nn.Linear)), default=0)
    if batches and tokens < widest:
        logger.warning(
            "%d tokens to calibrate on are fewer than a layer has inputs (%d): more is better", tokens, widest
        )
