"""One GGUF file: its metadata, and its tensors one after the other, so that no more than one is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from tunesmith import TunesmithError
from tunesmith_library_configuration.space import shortage, warn_of_little
from tunesmith_library_publishing.inventory import Reader, Stored

from tunesmith_library_gguf.kinds import KINDS
from tunesmith_library_gguf.parameters import Value
from tunesmith_library_gguf.tensors import Array, Layout, Tensor

_EXACT = ("ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight")  # what chooses experts is never rounded


@dataclass(frozen=True)
class Model:
    """What a file is made of, before any weight is read."""

    architecture: str  # llama.cpp's
    name: str  # that programs show
    folder: Path  # of the merged model: its card and generation_config.json
    stored: Mapping[str, Stored]
    layout: Layout
    metadata: Mapping[str, Value]


def write_model(file: Path, model: Model, kind: str) -> None:
    """Write a file in numbers that are rounded to here.

    Args:
        kind: one of `KINDS` that has its own numbers.

    Raises: TunesmithError when the disk is full, or a weight is too large for float16.
    """
    types = {tensor.name: type_of(tensor, kind) for tensor in model.layout.tensors}
    writer = gguf.GGUFWriter(path=None, arch=model.architecture)
    for tensor in model.layout.tensors:
        _announce(writer, tensor, types[tensor.name])
    _describe(writer, model, KINDS[kind].number)
    size = sum(info.nbytes for info in writer.tensors[0].values())
    warn_of_little(file.parent, size, "a GGUF file of this model takes")
    try:
        writer.write_header_to_file(path=file)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with Reader(model.stored) as read:
            for tensor in model.layout.tensors:
                writer.write_tensor_data(encoded(tensor, read, types[tensor.name]))
        writer.close()
    except OSError as error:
        raise TunesmithError(f"{file} could not be written: {shortage(error, file.parent, size)}") from error


def type_of(tensor: Tensor, kind: str) -> Type:
    """In which numbers a tensor is written: vectors, norms and what chooses experts are exact, whatever is asked."""
    if len(tensor.shape) <= 1 or not can_be_rounded(tensor.name):
        return Type.F32
    asked = Type[KINDS[kind].own]
    block, _ = gguf.GGML_QUANT_SIZES[asked]
    return asked if tensor.shape[-1] % block == 0 else Type.F16


def can_be_rounded(name: str) -> bool:
    """Whether the tensor of a name is one that is held in the numbers that are asked for, if it is a matrix."""
    return name.endswith(".weight") and not name.endswith(("_norm.weight", *_EXACT))


def encoded(tensor: Tensor, read: Any, kind: Type) -> Array:
    """A tensor's values as a file holds them.

    Raises: TunesmithError when one is too large for float16.
    """
    values = plain(tensor, read)
    with np.errstate(over="ignore"):
        found = gguf.quants.quantize(values, kind)
    if kind is Type.F16 and not np.isfinite(found).all():
        raise TunesmithError(f"{tensor.name} holds values beyond float16's 65504.\n  type=bf16 holds them")
    return found


def plain(tensor: Tensor, read: Any) -> Array:
    """A tensor's values in float32."""
    made: Array = tensor.make(read).to(torch.float32).contiguous().numpy()
    return made


def _announce(writer: gguf.GGUFWriter, tensor: Tensor, kind: Type) -> None:
    """Tell a file of a tensor that will come."""
    if kind in (Type.F32, Type.F16):
        dtype = np.dtype(np.float32 if kind is Type.F32 else np.float16)
        size = dtype.itemsize * int(np.prod(tensor.shape))
        writer.add_tensor_info(tensor.name, tensor.shape, dtype, size, raw_dtype=kind)
        return
    shape = gguf.quant_shape_to_byte_shape(tensor.shape, kind)
    writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), int(np.prod(shape)), raw_dtype=kind)


def _describe(writer: gguf.GGUFWriter, model: Model, file_type: int) -> None:
    """Write what a model is: its name, size and licence, its numbers, its vocabulary."""
    writer.add_type(gguf.GGUFType.MODEL)
    total, shared, of_experts, experts = writer.get_total_parameter_count()
    said = gguf.Metadata.load(None, model.folder, model.name, total)
    if said.size_label is None:
        said.size_label = gguf.size_label(total, shared, of_experts, experts)
    said.set_gguf_meta_model(writer)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in model.metadata.items():
        add(writer, key, value)


def add(writer: gguf.GGUFWriter, key: str, value: Value) -> None:
    """Write a key under the type that llama.cpp reads: 32 bits for numbers, integers without sign."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
