"""A model loader: transformers, in one process, as it comes."""

from typing import Any, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.types import ModelSource, Precision

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@plugin
class Placeholder:
    """Load a causal language model by its configuration."""

    path: str  # model on a hub, or its folder
    revision: str | None = None  # branch, tag or commit; null is the hub's default
    attention: Literal["sdpa", "eager"] = "sdpa"  # implementation of attention

    @hookimpl
    def resolve_precision(self, requested: str) -> Precision:
        import torch

        if requested != "auto":
            return requested  # type: ignore[return-value]
        chosen: Precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
        announce("precision", chosen, "from the hardware")
        return chosen

    @hookimpl
    def load_processor(self, source: ModelSource) -> Any:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(source.path)
        except (OSError, ValueError) as error:
            raise TunesmithError(f"{source.address} has no tokenizer: {error}") from error
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @hookimpl
    def load_model(self, source: ModelSource, quantization: Any) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(source.seed)
        # What is trained is float32; the trainer computes in source.precision.
        dtype = "float32" if source.training and quantization is None else _DTYPES[source.precision]
        try:
            return AutoModelForCausalLM.from_pretrained(
                source.path,
                dtype=getattr(torch, dtype),
                attn_implementation=self.attention,
                quantization_config=quantization,
            )
        except (OSError, ValueError) as error:
            raise TunesmithError(f"{source.address} cannot be loaded: {error}") from error
