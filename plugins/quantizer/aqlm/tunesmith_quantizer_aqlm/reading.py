"""Reading an AQLM checkpoint with transformers, without the package aqlm.

transformers reads stored bits through the class that its table of quantizers names for `quant_method`; for `aqlm` that
class asks for a package whose kernels are compiled per GPU or with numba. While a model is loaded, ours stands there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer
from tunesmith import TunesmithError
from tunesmith.types import ModelSource

from .linear import AqlmLinear

_METHOD = "aqlm"
_SIZES = ("num_codebooks", "nbits_per_codebook", "out_group_size", "in_group_size")


def read_sizes(source: ModelSource) -> str:
    """How a model is stored: `AQLM, 2 codebooks of 8 bits for 8 inputs (2 bits per weight)`.

    Raises: TunesmithError when it is not stored by AQLM, or its config.json lacks a size.
    """
    file = source.path / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    stored = config.get("quantization_config") or {}
    if stored.get("quant_method") != _METHOD:
        method = stored.get("quant_method")
        found = f"in few bits by {method}" if method else "in whole numbers of 16 or 32 bits"
        raise TunesmithError(
            f"quantizer=aqlm reads models that are stored by AQLM; {source.address} is stored {found}.\n"
            f"  {'leave the quantizer out' if method else 'to quantise it here: quantizer=hqq, or bitsandbytes'}; "
            "AQLM models on the hub have AQLM in their names"
        )
    missing = [name for name in _SIZES if not isinstance(stored.get(name), int) or stored[name] < 1]
    if missing:
        raise TunesmithError(f"{source.address}/config.json: quantization_config lacks {', '.join(missing)}")
    books, bits, rows, columns = (stored[name] for name in _SIZES)
    group = f"{columns} inputs" if rows == 1 else f"{rows} outputs × {columns} inputs"
    return f"AQLM, {books} × {bits} bits for {group} ({books * bits / (rows * columns):.3g} bits per weight)"


@contextlib.contextmanager
def own_reader() -> Iterator[None]:
    """Let our class read what is stored by AQLM, as long as the context lasts."""
    theirs = AUTO_QUANTIZER_MAPPING[_METHOD]
    AUTO_QUANTIZER_MAPPING[_METHOD] = AqlmReader
    try:
        yield
    finally:
        AUTO_QUANTIZER_MAPPING[_METHOD] = theirs


class AqlmReader(HfQuantizer):
    """What transformers asks when it loads a model that is stored by AQLM."""

    is_trainable = True  # adapters beside it

    def is_serializable(self) -> bool:
        return True

    def preprocess_model(self, model: Any, dtype: Any = None, **options: Any) -> None:
        """Put layers for codes in the place of the linear layers, before any weight is read."""
        config: Any = self.quantization_config  # an AqlmConfig
        whole = {name.removesuffix(".weight") for name in config.linear_weights_not_to_quantize}
        head = model.get_output_embeddings()
        for name, layer in list(model.named_modules()):
            if type(layer) is not nn.Linear or name in whole or (layer is head and _is_tied(model)):
                continue
            if layer.in_features % config.in_group_size or layer.out_features % config.out_group_size:
                raise ValueError(
                    f"{name} is {layer.out_features} × {layer.in_features}, which AQLM's groups of "
                    f"{config.out_group_size} × {config.in_group_size} do not fill"
                )
            model.set_submodule(name, AqlmLinear(layer, *(getattr(config, size) for size in _SIZES)))
        super().preprocess_model(model, dtype=dtype, **options)


def _is_tied(model: Any) -> bool:
    return bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
