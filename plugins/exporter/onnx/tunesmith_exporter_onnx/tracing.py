"""The graph of a model that does not write, such as a classifier, by torch's exporter; batch and length are free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import read_json

from .building import GRAPH, keep_beside

_NUMBERS = {"fp32": "float32", "fp16": "float16"}


def trace(source: Path, target: Path, precision: str) -> None:
    """Write the graph of a folder of transformers: from `input_ids` and `attention_mask`, int64 (B, T), to `logits`
    (B, labels), or to `last_hidden_state` (B, T, H) of a model without a head.

    Args:
        target: is made.

    Raises: TunesmithError when torch cannot follow the model.
    """
    if precision not in _NUMBERS:
        raise TunesmithError(
            f"exporter.onnx.precision={precision}: a model that does not write is written in fp32 or fp16.\n"
            "  exporter.onnx.precision=fp32"
        )
    model = _loaded(source, _NUMBERS[precision])
    target.mkdir()
    ids = torch.ones((2, 3), dtype=torch.int64)
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    shape = {0: batch, 1: length}
    try:
        with torch.no_grad():
            torch.onnx.export(
                _Plain(model).eval(),
                (ids, torch.ones_like(ids)),
                target / GRAPH,
                input_names=["input_ids", "attention_mask"],
                output_names=["logits" if hasattr(model, "score") or hasattr(model, "classifier") else _HIDDEN],
                dynamic_shapes=(shape, shape),
                dynamo=True,
                external_data=True,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise TunesmithError(f"torch cannot write the graph of {type(model).__name__}: {cause}") from error
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(target)
    keep_beside(source, target)


_HIDDEN = "last_hidden_state"


class _Plain(nn.Module):
    """A model of transformers as a function of two tensors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        said = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        found: torch.Tensor = said.logits if "logits" in said else said[_HIDDEN]
        return found


def _loaded(source: Path, dtype: str) -> Any:
    config = read_json(source / "config.json")
    name = next(iter(config.get("architectures") or ()), "")
    model_class: Any = getattr(transformers, name, transformers.AutoModel)
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager"}
    if any("experts" in key for key in (config.get("text_config") or config)):
        options["experts_implementation"] = "batched_mm"  # grouped products are nothing that ONNX has
    return model_class.from_pretrained(source, **options).eval()
