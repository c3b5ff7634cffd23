"""The files of an adapter as peft has them, with the base's name and the tokenizer that it was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.types import ModelHandle
from tunesmith_library_proving.gate import skipped
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.endings import set_template
from tunesmith_library_publishing.heads import keep_heads
from tunesmith_library_publishing.inventory import read_json

from .layout import CONFIG, WEIGHTS


def export_adapter(
    handle: ModelHandle, output_dir: Path, base: str | None, tolerance: float | None, quantizer: str | None
) -> None:
    """Write the adapter, and prove it.

    Args:
        base: what the base is to be called; None: as the run called it.
        tolerance: largest difference of a logit; None proves nothing.
        quantizer: that the adapter was trained over.

    Raises: TunesmithError when there is no adapter, or PEFT makes another model of it.
    """
    if handle.adapter is None or not (handle.adapter / WEIGHTS).is_file():
        raise TunesmithError(
            f"{handle.source.address} is a whole model: this run trained no adapter that could be written alone.\n"
            "  exporter=merged writes the model"
        )
    from .proof import Proof

    proof = Proof(handle, tolerance, quantizer) if tolerance is not None else None
    if proof is None:
        skipped("adapter")
    name = base or handle.source.address
    with replacing(output_dir) as draft:
        _write(handle, handle.adapter, draft, name)
        announce("base", name, "exporter.adapter.base" if base else "the run's; exporter.adapter.base names another")
        if proof is not None:
            proof.written(draft)
        write_card(handle, draft, Kind("peft", "adapter"))


def _write(handle: ModelHandle, adapter: Path, folder: Path, base: str) -> None:
    folder.mkdir()
    config = _configured(adapter, base)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    shutil.copyfile(adapter / WEIGHTS, folder / WEIGHTS)
    set_template(handle.processor, handle.template)
    handle.processor.save_pretrained(folder)
    keep_heads(adapter, folder)


def _configured(folder: Path, base: str) -> dict[str, Any]:
    """An adapter's configuration, for those who serve it beside a base of this name."""
    return read_json(folder / CONFIG) | {"base_model_name_or_path": base, "inference_mode": True}
