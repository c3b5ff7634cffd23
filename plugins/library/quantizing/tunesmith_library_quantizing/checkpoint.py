"""Quantised models as they are stored: the tensors and `quantization_config` that vLLM and transformers read.

GPTQ (`quant_method` gptq): qweight (in · bits / 32, out), qzeros (groups, out · bits / 32), scales (groups, out), g_idx
(in,); in the format `gptq` each zero point is lessened by one, in `gptq_v2` it is not. AWQ (`quant_method` awq, version
gemm): qweight (in, out / 8), qzeros (groups, out / 8), scales (groups, out), all of 4 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_library_quantizing.grid import side_by_side
from tunesmith_library_quantizing.linear import SCALES, TENSORS, PackedLinear
from tunesmith_library_quantizing.packing import pack, pack_awq, unpack, unpack_awq

# The scales that a stored model has in its norms, in a folder of their own, which vLLM and transformers do not read:
# with them a run puts its quantised layers into the model whose norms are as they were.
UNSCALED = "unscaled"
LAYOUTS = ("gptq", "gptq_v2", "awq")
Tensors = dict[str, torch.Tensor]


def quantization_of(folder: Path) -> dict[str, Any] | None:
    """The `quantization_config` of a model's config.json; None for a model that is stored in full."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return config.get("quantization_config")


def layout_of(config: Mapping[str, Any]) -> str:
    """Which of the layouts a `quantization_config` says.

    Raises: TunesmithError for what is neither GPTQ nor AWQ's gemm.
    """
    method = config.get("quant_method")
    if method == "gptq":
        layout = config.get("checkpoint_format") or config.get("format") or "gptq"
        if layout in LAYOUTS[:2]:
            return str(layout)
        known = choices(layout, LAYOUTS[:2], "formats")
        raise TunesmithError(f"this model is stored in the GPTQ format {layout}, which cannot be read.\n  {known}")
    version = str(config.get("version") or config.get("format") or "gemm").lower()
    if method == "awq" and version == "gemm":
        return "awq"
    found = f"awq {version}" if method == "awq" else method
    raise TunesmithError(
        f"this model is stored as {found}, which cannot be read.\n  possible: gptq, gptq_v2, awq gemm;"
        " or take the model's 16-bit version"
    )


def to_stored(layer: PackedLinear, layout: str) -> Tensors:
    """The tensors of a layer in one of the layouts; scales in float16."""
    zeros = unpack(layer.qzeros.T, layer.bits).T
    tensors = {"scales": layer.scales.detach().half()}
    if layout == "awq":
        tensors |= {"qweight": pack_awq(unpack(layer.qweight, layer.bits)), "qzeros": pack_awq(zeros)}
    else:
        stored = (zeros - _lessened(layout)) & (2**layer.bits - 1)
        packed = pack(stored.T, layer.bits).T.contiguous()
        tensors |= {"qweight": layer.qweight.detach(), "qzeros": packed, "g_idx": layer.g_idx.detach()}
    if layer.bias is None:
        return tensors
    bias = layer.bias.detach()
    return tensors | {"bias": bias if layer.output_scale is None else bias / layer.output_scale.to(bias.dtype)}


def from_stored(tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], dtype: torch.dtype) -> PackedLinear:
    """A layer from its stored tensors, and the scales around it where a run has kept them apart.

    Args:
        config: the model's `quantization_config`; how many bits a GPTQ layer has is read off its shapes.
        dtype: of the layer's `weight`.
    """
    layout, scales = layout_of(config), tensors["scales"]
    if layout == "awq":
        codes, bits = unpack_awq(tensors["qweight"]), 4
        qweight, zeros = pack(codes, bits), unpack_awq(tensors["qzeros"])
        groups = side_by_side(len(codes), len(scales), codes)
    else:
        qweight, order = tensors["qweight"], tensors.get("g_idx")
        columns = 32 * len(qweight) // int(config["bits"]) if order is None else len(order)
        groups = side_by_side(columns, len(scales), qweight) if order is None else order
        bits = 32 * len(qweight) // columns
        zeros = (unpack(tensors["qzeros"].T, bits).T + _lessened(layout)) & (2**bits - 1)
    qzeros = pack(zeros.T, bits).T.contiguous()
    others = {name: tensors.get(name) for name in ("bias", *SCALES)}
    if others["bias"] is not None and others["output_scale"] is not None:
        others["bias"] = others["bias"] * others["output_scale"].to(others["bias"].dtype)
    return PackedLinear({"qweight": qweight, "qzeros": qzeros, "scales": scales, "g_idx": groups, **others}, dtype)


def packed_layers(folder: Path) -> dict[str, dict[str, Path]]:
    """The quantised layers that a model's files hold: layer -> tensor -> file."""
    files = _files(folder)
    layers = [name.removesuffix(".qweight") for name in files if name.endswith(".qweight")]
    return {
        layer: {part: files[f"{layer}.{part}"] for part in TENSORS if f"{layer}.{part}" in files} for layer in layers
    }


def restore(model: Any, folder: Path) -> None:
    """Give a model loaded in full the quantised layers that a run stored; all other weights are the same.

    Raises: TunesmithError when the folder was stored for another model.
    """
    modules = dict(model.named_modules())
    for name, layer in read_layers(folder, {name: getattr(module, "weight", None) for name, module in modules.items()}):
        model.set_submodule(name, layer)
    model.config.quantization_config = quantization_of(folder)


def read_layers(folder: Path, like: Mapping[str, Any]) -> Iterator[tuple[str, PackedLinear]]:
    """The layers that a run stored, each on the device and with the numbers of the weight that it is to replace.

    Args:
        like: the model's weights, by the names of their layers.

    Raises: TunesmithError when the folder was stored for another model.
    """
    config = quantization_of(folder) or {}
    scales = _files(folder / UNSCALED)
    for name, parts in packed_layers(folder).items():
        weight = like.get(name)
        if weight is None:
            raise TunesmithError(f"{folder} was stored for another model: this one has no {name}")
        parts = parts | {part: scales[f"{name}.{part}"] for part in SCALES if f"{name}.{part}" in scales}
        tensors = {part: tensor.to(weight.device) for part, tensor in _read(name, parts).items()}
        yield name, from_stored(tensors, config, weight.dtype)


def write_scales(layers: Mapping[str, PackedLinear], folder: Path) -> None:
    """Write what is divided and multiplied around the layers, for `read_layers`; nothing where there is none."""
    tensors = {f"{name}.{part}": getattr(layer, part) for name, layer in layers.items() for part in SCALES}
    tensors = {name: tensor.detach().clone() for name, tensor in tensors.items() if tensor is not None}
    if tensors:
        (folder / UNSCALED).mkdir()
        save_file(tensors, folder / UNSCALED / "scales.safetensors")


def stored_shapes(name: str, parts: Mapping[str, Path]) -> Tensors:
    """Tensors without contents, of the shapes and numbers that a layer has in its files."""
    return {part: tensor.to("meta") for part, tensor in _read(name, parts).items()}


def _lessened(layout: str) -> int:
    """What a layout takes off each zero point."""
    return 1 if layout == "gptq" else 0


def _read(name: str, parts: Mapping[str, Path]) -> Tensors:
    found = {}
    for part, file in parts.items():
        with safe_open(file, "pt") as weights:
            found[part] = weights.get_tensor(f"{name}.{part}")
    return found


def _files(folder: Path) -> dict[str, Path]:
    """Every tensor of a model's weights, with the file that holds it."""

    def names(file: Path) -> Iterator[str]:
        with safe_open(file, "pt") as weights:
            yield from weights.keys()

    return {name: file for file in sorted(folder.glob("*.safetensors")) for name in names(file)}
