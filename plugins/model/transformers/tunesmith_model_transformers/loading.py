"""Weights from a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import ModelSource
from tunesmith_library_loading.precision import DTYPES
from tunesmith_library_loading.processors import code_refused, fit_embeddings
from tunesmith_library_training import attention as per_sequence
from tunesmith_library_training import processes, varlen, watching

from .overrides import override


def load_model(
    source: ModelSource,
    processor: Any,
    quantization: Any,
    *,
    attention: str,
    random: bool,
    trust_remote_code: bool,
    overrides: Mapping[str, Any] | None = None,
    spreads: bool = False,
) -> Any:
    """Load a causal language model, or make one with random weights from its configuration.

    Args:
        quantization: a transformers quantization config, or None. Where it says `replaces_stored`, it is used instead
            of the one that the model is stored with.
        attention: the option `model.attention`.
        random: take only the configuration from the folder.
        overrides: values of the model's configuration, over its own.
        spreads: it is spread over processes later, and waits for that on the CPU.

    Raises: TunesmithError when the folder holds no model, no safetensors weights, or a kind transformers does not know,
        and when the overrides are of something that it is not.
    """
    transformers.set_seed(source.seed)
    per_sequence.register()
    try:
        config = AutoConfig.from_pretrained(source.path, trust_remote_code=trust_remote_code)
        override(config, overrides or {})
        options = {
            "attn_implementation": _choose_attention(attention, source.precision, config),
            "dtype": DTYPES[source.held or source.precision],
            "trust_remote_code": trust_remote_code,
        }
        if random:
            announce("weights", "random", "model.initialize=random")
            model = _loader(config, processor).from_config(config, **options)
            model.name_or_path = model.config.name_or_path = ""  # of the folder nothing is in it that could be kept
        else:
            if getattr(quantization, "replaces_stored", False):  # a quantizer reads the stored layers in its own way
                del config.quantization_config
            options |= {"quantization_config": quantization, "use_safetensors": True}
            options["device_map"] = _placement(source.training or spreads, quantization is not None)
            model = _read(source, _loader(config, processor), config, options, overrides or {})
    except (OSError, ValueError, ImportError) as error:
        refused = code_refused(source.path, error)
        raise TunesmithError(refused or f"{source.address}: transformers cannot load this model: {error}") from error
    except TunesmithError:
        raise
    except Exception as error:  # whatever a value does to the arithmetic of a model's parts
        if not overrides:
            raise
        keys = ", ".join(f"model.config.{key}={value}" for key, value in overrides.items())
        cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise TunesmithError(f"with {keys} transformers cannot make this model: {cause}") from error
    watching.watch(model.base_model)
    fit_embeddings(model, processor)
    return model


def _read(source: ModelSource, loader: Any, config: Any, options: dict[str, Any], overrides: Mapping[str, Any]) -> Any:
    """The stored weights, in a model of this configuration; one that was changed must be one that they fit."""
    if not overrides:
        return loader.from_pretrained(source.path, config=config, **options)
    keys = ", ".join(f"model.config.{key}" for key in overrides)
    try:
        model, found = loader.from_pretrained(source.path, config=config, output_loading_info=True, **options)
    except RuntimeError as error:
        raise TunesmithError(f"with {keys} the stored weights do not fit: {error}") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise TunesmithError(f"with {keys} the model has {len(missing)} weights that are not stored: {missing[0]}, …")
    if found["unexpected_keys"]:
        logger.warning("with %s %d stored weights have no place", keys, len(found["unexpected_keys"]))
    return model


def _loader(config: Any, processor: Any) -> Any:
    """The auto class of a model: one that also sees or hears is loaded whole where its processor is, too.

    Of some models transformers has both, and the causal language model alone would lose what it is shown.
    """
    kind = type(config)
    whole = next((auto for auto, mapping in _WHOLE if kind in mapping and "forward" in vars(mapping[kind])), None)
    causal = kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if hasattr(config, "auto_map") or (causal and not (whole and _is_shown(processor))):
        return AutoModelForCausalLM
    if whole is not None:
        return whole
    raise ValueError(f"{config.model_type} is no causal language model of transformers {transformers.__version__}")


_WHOLE = (
    (AutoModelForImageTextToText, transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
    (AutoModelForMultimodalLM, transformers.MODEL_FOR_MULTIMODAL_LM_MAPPING),
)


def _is_shown(processor: Any) -> bool:
    """Whether a processor makes tensors of more than text."""
    parts = ("image_processor", "video_processor", "feature_extractor")
    return any(getattr(processor, part, None) is not None for part in parts)


def _choose_attention(asked: str, precision: str, config: Any) -> str | None:
    """transformers' name of the attention to load with; None is the model's own choice."""
    if asked not in ("auto", per_sequence.NAME):
        return asked
    if not per_sequence.takes_attention(config):
        if asked == per_sequence.NAME:
            raise ValueError(f"{config.model_type} computes attention in its own way; use model.attention=auto")
        announce("attention", "the model's own", f"{config.model_type} takes no other")
        return None
    kernel = varlen.found() if precision != "fp32" else None
    how = f"the varlen kernel of {kernel.name}" if kernel else "SDPA, sequence by sequence"
    announce("attention", per_sequence.NAME, how)
    return per_sequence.NAME


def _placement(training: bool, quantised: bool) -> Any:
    """Where the weights go: training places them itself, unless they are quantised, which happens on the device.

    What is not trained goes to all devices there are; beside other processes, such as a reference model's of a run
    that torchrun started, to this process's own.
    """
    if not torch.accelerator.is_available() or (training and not quantised):
        return None
    return {"": processes.local_rank()} if training or processes.count() > 1 else "auto"
