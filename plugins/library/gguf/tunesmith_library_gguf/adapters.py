"""LoRA weights as a GGUF file of their own, which llama.cpp puts over the file of the base."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith_library_configuration.space import shortage
from tunesmith_library_publishing.inventory import read_json

from tunesmith_library_gguf.kinds import KINDS
from tunesmith_library_gguf.models import configuration, known_family
from tunesmith_library_gguf.tensors import Names, interleaved, plain_name

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LORA = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")


def write_adapter(file: Path, adapter: Path, base: Path, name: str, kind: str) -> int:
    """Write an adapter.

    Args:
        adapter: a folder of peft.
        base: the folder of the model that it was trained over.
        name: that programs show.
        kind: f32, f16 or bf16.

    Returns: how many tensors it has.
    Raises: TunesmithError when llama.cpp has no such adapters, or the disk is full.
    """
    said = read_json(adapter / CONFIG)
    refuse_other_adapters(said)
    tensors = dict(_tensors(load_file(adapter / WEIGHTS), said, base))
    writer = gguf.GGUFWriter(path=None, arch=known_family(base).architecture)
    for key, values in tensors.items():
        data = gguf.quants.quantize(values.float().contiguous().numpy(), Type[KINDS[kind].own])
        writer.add_tensor(key, data, raw_dtype=Type[KINDS[kind].own])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(said["lora_alpha"]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    try:
        writer.write_header_to_file(path=file)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    except OSError as error:
        raise TunesmithError(f"{file} could not be written: {shortage(error, file.parent)}") from error
    return len(tensors)


def refuse_other_adapters(config: Mapping[str, Any]) -> None:
    """Raises: TunesmithError for an adapter that is more than two matrices beside a layer's weight."""
    found = list(_beyond(config))
    if found:
        raise TunesmithError(
            f"llama.cpp has LoRA alone as an adapter, and this one has {', '.join(found)}.\n"
            "  exporter.gguf.adapter=false writes the whole model"
        )


def _beyond(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("peft_type") != "LORA":
        yield f"the type {config.get('peft_type')}"
    for key, what in (
        ("use_dora", "lengths of its own (DoRA)"),
        ("modules_to_save", "layers that are trained whole"),
        ("trainable_token_indices", "trained rows of embeddings"),
        ("target_parameters", "fused experts"),
        ("fan_in_fan_out", "weights that are transposed"),
    ):
        if config.get(key):
            yield what
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        yield "trained biases"


def _tensors(
    weights: Mapping[str, torch.Tensor], said: Mapping[str, Any], base: Path
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of the file; where a layer is scaled otherwise than the file says of all, B holds the rest."""
    config, family = configuration(base), known_family(base)
    names = Names(config, family)
    heads = int(config["num_attention_heads"])
    of_keys = int(config.get("num_key_value_heads") or heads)
    for key, values in weights.items():
        match = _LORA.fullmatch(key)
        if match is None:
            raise TunesmithError(f"llama.cpp has no place for the weight {key} of an adapter.\n  nothing was written")
        if family.towers and match[1].removeprefix("model.").startswith(family.towers):
            raise TunesmithError(
                f"The adapter is beside more than the language model ({match[1]}), and llama.cpp puts adapters over "
                "that alone.\n  exporter.gguf.adapter=false exporter.gguf.mmproj=true writes the whole model"
            )
        module, part = plain_name(match[1]), match[2].lower()
        target = names(f"{module}.weight", key)
        if target in ("token_embd.weight", "output.weight") and config.get("tie_word_embeddings"):
            raise TunesmithError(f"{key} changes embeddings that are the output layer too, and llama.cpp has them once")
        if part == "b":
            rank = values.shape[1]
            if family.interleaved and module.endswith(("q_proj", "k_proj")):
                values = interleaved(values, heads if module.endswith("q_proj") else of_keys)
            factor = scaling(said, module, rank) * rank / float(said["lora_alpha"])
            values = values if math.isclose(factor, 1.0, rel_tol=1e-9) else values.float() * factor
        yield f"{target}.lora_{part}", values


def scaling(said: Mapping[str, Any], module: str, rank: int) -> float:
    """By what peft multiplies the product of a layer's matrices."""
    patterns: Mapping[str, float] = said.get("alpha_pattern") or {}
    own = (alpha for pattern, alpha in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", module))
    alpha = float(next(own, said["lora_alpha"]))
    return alpha / (math.sqrt(rank) if said.get("use_rslora") else rank)
