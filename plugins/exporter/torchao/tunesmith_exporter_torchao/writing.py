"""The merged model with its linear layers in torchao's tensors, as safetensors, and what else its folder has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import torchao.quantization
import transformers
from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_loading.importing import show_to_transformers
from tunesmith_library_proving import merging
from tunesmith_library_proving.gate import skipped
from tunesmith_library_proving.quieting import errors_only
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.inventory import read_json, tensors_of

from .proof import prove

_CONFIGS = {
    "int8_weight_only": "Int8WeightOnlyConfig",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8_weight_only": "Float8WeightOnlyConfig",
}
_OF_THE_MERGED = ("README.md", "export_report.json", "base_weights.json")  # what is written of that folder


def export_torchao(handle: ModelHandle, output_dir: Path, scheme: str, max_shard_size: str, verify: bool) -> None:
    """Merge, round, write, and prove.

    Raises: TunesmithError when torchao rounds nothing of it, or what it makes is another model.
    """
    show_to_transformers("torchao")  # the run that trained had no use for it
    merged = merging.merged_folder(handle, output_dir, merging.Wanted(verify=verify))
    with replacing(output_dir) as draft:
        _tell(quantise(merged, draft, scheme, max_shard_size), scheme, merged, draft)
        if verify:
            prove(handle, draft, lambda base, folder: quantise(base, folder, scheme, max_shard_size))
        else:
            skipped("torchao")
        write_card(handle, draft, Kind(relation="quantized"))


def quantise(source: Path, target: Path, scheme: str, max_shard_size: str) -> Any:
    """Write a folder of transformers in torchao's numbers, and give the model as it is then.

    Args:
        target: is made.
    """
    name = next(iter(read_json(source / "config.json").get("architectures") or ()), "")
    model_class: Any = getattr(transformers, name, transformers.AutoModelForCausalLM)
    config = transformers.TorchAoConfig(getattr(torchao.quantization, _CONFIGS[scheme])(version=2))
    with errors_only("transformers"):
        model = model_class.from_pretrained(source, dtype="auto", quantization_config=config)
    model.save_pretrained(target, max_shard_size=max_shard_size)
    for file in source.iterdir():
        own = file.suffix == ".safetensors" or file.name.endswith(".index.json") or file.name in _OF_THE_MERGED
        if file.is_file() and not own and not (target / file.name).exists():
            shutil.copyfile(file, target / file.name)
    return model


def _tell(model: Any, scheme: str, source: Path, target: Path) -> None:
    """Say what is held in 8 bits, and what of the folder before is not there."""
    weights = list(model.named_parameters())
    few = [weight for _, weight in weights if type(weight.data) is not torch.Tensor]
    if not few:
        raise TunesmithError(
            f"torchao rounds nothing of this {type(model).__name__}: it has no linear layers that it takes.\n"
            "  exporter=merged writes it in 16 bits"
        )
    share = sum(weight.numel() for weight in few) / sum(weight.numel() for _, weight in weights)
    whole = sorted({name.split(".")[-2] for name, weight in weights if type(weight.data) is torch.Tensor})
    announce("torchao", f"{scheme}, {share:.2%} of the weights", f"not: {', '.join(whole)}")
    held = {name.replace("._weight_", ".weight_").partition(".weight_")[0] for name in tensors_of(target)}
    lost = [name for name in tensors_of(source) if name not in held and name.removesuffix(".weight") not in held]
    if lost:
        logger.warning("%d tensors that transformers does not load are not written, such as %s", len(lost), lost[0])
