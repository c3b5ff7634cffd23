"""unsloth's public calls: import it where it can run, load a model, hand it an adapter."""

from __future__ import annotations

import functools
import importlib.util
import os
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import ModelSource
from tunesmith_library_loading.precision import DTYPES
from tunesmith_library_loading.processors import fit_embeddings


def import_unsloth() -> Any:
    """unsloth's `FastLanguageModel`.

    Raises: TunesmithError when unsloth is not installed, there is no GPU, or it does not fit what is installed.
    """
    if importlib.util.find_spec("unsloth") is None:
        raise TunesmithError(
            "model=unsloth: the package unsloth is not installed.\n"
            "  pip install unsloth into an environment of its own (it pins transformers and trl), or model=transformers"
        )
    if gpu() is None:
        raise TunesmithError(
            "model=unsloth: its kernels need an NVIDIA GPU, and there is none.\n  use model=transformers"
        )
    # Without this unsloth may return no logits: it would compute its own loss, and the stage computes the run's.
    os.environ["UNSLOTH_RETURN_LOGITS"] = "1"
    try:
        from unsloth import FastLanguageModel
    except (ImportError, NotImplementedError, RuntimeError) as error:
        raise TunesmithError(
            f"model=unsloth: unsloth cannot be used here: {error}\n  use model=transformers"
        ) from error
    return FastLanguageModel


def gpu() -> int | None:
    """The number of this process's GPU; None without one."""
    return torch.cuda.current_device() if torch.cuda.is_available() else None


def load_model(
    source: ModelSource,
    processor: Any,
    quantization: Any,
    *,
    max_seq_length: int,
    gradient_checkpointing: bool | str,
    trust_remote_code: bool,
) -> Any:
    """Load with `FastLanguageModel.from_pretrained`.

    Args:
        quantization: a `BitsAndBytesConfig` of 4 or 8 bits, or None. unsloth makes its own of the same bits.

    Returns: a model whose `logits_to_keep` may be an index tensor, as the stages give it.
    """
    fast = import_unsloth()
    torch.manual_seed(source.seed)
    bits = {name: bool(getattr(quantization, name, False)) for name in ("load_in_4bit", "load_in_8bit")}
    try:
        model, _ = fast.from_pretrained(
            model_name=str(source.path),
            max_seq_length=max_seq_length,
            dtype=DTYPES[source.precision],
            device_map={"": gpu()},
            use_gradient_checkpointing=gradient_checkpointing,
            trust_remote_code=trust_remote_code,
            random_state=source.seed,
            use_exact_model_name=True,  # not unsloth's own copy of the model in 4 bits
            **bits,
        )
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise TunesmithError(f"{source.address}: unsloth cannot load this model: {error}") from error
    fit_embeddings(model, processor)
    serve_rows(model)
    return model if source.training else fast.for_inference(model) or model


def patch_adapter(model: Any, training: bool, gradient_checkpointing: bool | str) -> Any:
    """Give a peft model unsloth's kernels, as the end of its own `get_peft_model` does.

    Raises: TunesmithError when unsloth does not know how.
    """
    fast = import_unsloth()
    try:
        if not training:
            return fast.for_inference(model) or model
        model = fast.patch_peft_model(model, use_gradient_checkpointing=gradient_checkpointing)
        return fast.for_training(model, use_gradient_checkpointing=bool(gradient_checkpointing)) or model
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise TunesmithError(f"unsloth cannot take this adapter: {error}\n  use model=transformers") from error


def serve_rows(model: Any) -> None:
    """Let the model take what the stages call it with and unsloth does not know, by another `forward`, in place.

    `logits_to_keep` may be an index tensor (K,), which unsloth reads as all. A concatenated batch would be attended
    over as one sequence, and is refused.
    """
    forward = model.forward

    @functools.wraps(forward)
    def with_rows(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("cu_seq_lens_q") is not None:
            raise TunesmithError("model=unsloth takes padded batches only.\n  use trainer.padding_free=false")
        output = forward(*args, **kwargs)
        keep, ids = kwargs.get("logits_to_keep"), kwargs.get("input_ids", args[0] if args else None)
        if isinstance(keep, torch.Tensor) and ids is not None and output.logits.shape[1] == ids.shape[1]:
            output.logits = output.logits[:, keep]
        return output

    model.forward = with_rows  # the instance's own: peft calls `forward`, past the hooks
