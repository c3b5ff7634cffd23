"""Adapters that come beside a model while it answers, and go again. What does not fit leaves the model as it was."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model
from tunesmith import TunesmithError
from tunesmith_library_publishing.adapters import as_loaded, names_for
from tunesmith_library_weights.experts import shown_whole

from tunesmith_library_adapting.adapters import quiet
from tunesmith_library_adapting.experts import over_packed

_FILE = "adapter_model.safetensors"
_OWN_NUMBERS = (True, False, "gaussian", "eva", "orthogonal")  # beginnings that leave the base's weights alone


def put_beside(model: Any, folder: Path, name: str) -> Any:
    """Put a saved adapter beside the layers of a model, and the adapters that it has; none of them acts less.

    Args:
        model: a base, or a PeftModel.
        folder: with adapter_config.json and adapter_model.safetensors.
        name: peft's, without a dot, and not taken.

    Returns: the PeftModel.
    Raises: TunesmithError for a folder without adapter, one that is trained for another model, is not whole, or has no
        weights; the model is as before.
    """
    config = _config(folder)
    wraps = not isinstance(model, PeftModel)
    key_mapping = as_loaded(config, names_for(model if wraps else model.get_base_model())) or None
    options: dict[str, Any] = {"autocast_adapter_dtype": False}
    adapted = model
    try:
        with quiet(), shown_whole(model):
            if wraps:
                adapted = get_peft_model(model, config, name, **options)
            else:
                adapted.add_adapter(name, config, **options)
            device = str(adapted.device)
            found = adapted.load_adapter(str(folder), name, torch_device=device, key_mapping=key_mapping, **options)
        _refuse_another_models(folder, found)
        return over_packed(adapted).eval()
    except Exception as error:
        _take_back(adapted, model, name)
        if isinstance(error, TunesmithError):
            raise
        raise TunesmithError(f"{folder} does not fit this model: {error}") from error


def take_from(model: Any, name: str) -> None:
    """Let an adapter go that was put beside a model."""
    with warnings.catch_warnings():  # which of the others acts is said by whoever asks for one
        warnings.filterwarnings("ignore", message="Adapter .* was active which is now deleted")
        model.delete_adapter(name)


def _config(folder: Path) -> Any:
    """Raises: TunesmithError for what cannot be put beside a model that goes on answering."""
    for file in ("adapter_config.json", _FILE):
        if not (folder / file).is_file():
            raise TunesmithError(f"{folder} has no {file}.\n  tunesmith train writes both into the folder of a run")
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except Exception as error:
        raise TunesmithError(f"{folder / 'adapter_config.json'} cannot be read: {error}") from error
    kind = getattr(config.peft_type, "value", config.peft_type)
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise TunesmithError(f"{folder} holds {kind}, which is no adapter of weights")
    if getattr(config, "r", 1) < 1:
        raise TunesmithError(f"{folder} has the rank {config.r}; an adapter has at least 1")
    begun = getattr(config, "init_lora_weights", True)
    if begun not in _OWN_NUMBERS:
        raise TunesmithError(
            f"{folder} began with init_lora_weights={begun!r}, which changes the base's weights, for all others too.\n"
            "  serve the run itself: tunesmith api RUN"
        )
    config.inference_mode = True
    return config


def _refuse_another_models(folder: Path, found: Any) -> None:
    for what, names in (("has weights for", found.unexpected_keys), ("has no weights for", found.missing_keys)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise TunesmithError(f"{folder} was trained for another model: it {what} {names[0]}{more}")


def _take_back(adapted: Any, model: Any, name: str) -> None:
    if adapted is not model:
        adapted.unload()
    elif name in getattr(model, "peft_config", {}):
        model.delete_adapter(name)
