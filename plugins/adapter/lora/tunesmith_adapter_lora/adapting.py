"""The calls of peft that every adapter kind has in common: put one beside the layers, load one, say its size."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelSource


def adapt(model: Any, config: Any) -> Any:
    """Put fresh weights beside the layers that a peft configuration names.

    Raises: TunesmithError when peft knows no way for this model.
    """
    try:
        with quiet():
            return get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        raise TunesmithError(f"peft cannot adapt this model: {error}") from error


def read_config(folder: Path, peft_type: str, name: str) -> Any:
    """The configuration of a saved adapter.

    Args:
        peft_type: peft's name of the only kind that will do, such as `LORA`.
        name: the same for people.

    Raises: TunesmithError when the folder holds no adapter, or one of another kind.
    """
    if not (folder / "adapter_config.json").is_file():
        raise TunesmithError(f"{folder} holds no adapter (no adapter_config.json)")
    config = PeftConfig.from_pretrained(str(folder))
    if config.peft_type != peft_type:
        raise TunesmithError(f"{folder} holds an adapter of type {config.peft_type}, not {name}")
    return config


def load(model: Any, folder: Path, source: ModelSource) -> Any:
    """Put saved weights beside the layers that they were trained for: to be trained on, or in the base's numbers."""
    with quiet():
        return PeftModel.from_pretrained(
            model, str(folder), is_trainable=source.training, autocast_adapter_dtype=source.training
        )


def ready_to_train(model: Any, what: str) -> Any:
    """Keep the trained weights in float32 (steps of 1e-4 vanish in bfloat16's 8 bits) and announce their share."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trained, total = model.get_nb_trainable_parameters()
    if not trained:
        logging.getLogger("tunesmith").warning("this adapter has no trainable weights")
    announce("trained", f"{trained:,} of {total:,} parameters ({trained / total:.2%})", what)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """peft reads a property that transformers has renamed, and advises on how to call it; users can change neither."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lora with eva initialization used with low_cpu_mem_usage")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
