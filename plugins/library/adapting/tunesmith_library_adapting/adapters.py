"""The calls of peft that every adapter kind has in common: put one beside the layers, load one, say its size."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import ModelSource
from tunesmith_library_publishing.adapters import as_loaded, names_for
from tunesmith_library_weights.experts import packed_away, shown_whole
from tunesmith_library_weights.towers import LANGUAGE, parts_in, say_parts

from tunesmith_library_adapting.experts import adapted_share, over_packed
from tunesmith_library_adapting.few_passes import in_few_passes

MESSAGES = (
    "trained: {trained} of {total} parameters ({share}) ({why})",
    "adapted: {share} of the weights ({rest})",
    "adapted: {share} of the weights (not: {names})",
)
"""What is announced, for catalogues of other languages."""


def adapt(model: Any, config: Any) -> Any:
    """Put fresh weights beside the layers that a peft configuration names, and train the model's `fresh_modules` whole.

    Raises: TunesmithError when peft knows no way for this model.
    """
    whole = list(config.modules_to_save or [])
    config.modules_to_save = [*whole, *(name for name in fresh_modules(model) if name not in whole)] or None
    try:
        with quiet(), shown_whole(model):
            return in_few_passes(over_packed(get_peft_model(model, config)))
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
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise TunesmithError(f"{folder} holds an adapter of type {kind}, not {name}")
    return config


def load(model: Any, folder: Path, source: ModelSource) -> Any:
    """Put saved weights beside the layers that they were trained for: to be trained on, or in the base's numbers."""
    config = PeftConfig.from_pretrained(str(folder))
    if not model.can_generate():  # a classifier, over which an adapter that was trained to write can be put too
        config.task_type = None
    key_mapping = as_loaded(config, names_for(model)) or None
    wide = source.training or source.held is not None  # for an export it is added to the weights in all its digits
    options = {"autocast_adapter_dtype": wide, "config": config, "key_mapping": key_mapping}
    with quiet(), shown_whole(model):
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=source.training, **options)
    return in_few_passes(over_packed(adapted))


def fresh_modules(model: Any) -> list[str]:
    """The modules that a stage or patch put into the model with fresh weights; see the hook `load_model`."""
    return list(getattr(model, "fresh_modules", ()))


def ready_to_train(model: Any, what: str, towers: Sequence[str] = LANGUAGE) -> Any:
    """Keep the trained weights in float32 (steps of 1e-4 vanish in bfloat16's 8 bits) and announce their share.

    Args:
        what: the adapter, for the announcement.
        towers: the parts of the base whose biases may be trained, as `tunesmith_library_weights.towers` names them.

    Raises: TunesmithError when an adapter to go on with leaves a module with fresh weights untrained.
    """
    _freeze_biases(model, towers)
    trained_names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for module in fresh_modules(model):
        if not any(f".{module}." in f".{name}" for name in trained_names):
            raise TunesmithError(
                f"adapter.path: that adapter does not train {module}, whose weights are fresh in this run.\n"
                "  adapter.restart=true merges it into the base and trains a fresh one"
            )
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    trained, total = model.get_nb_trainable_parameters()
    total += packed_away(model)
    if not trained:
        logger.warning("this adapter has no trainable weights")
    announce("trained", f"{trained:,} of {total:,} parameters ({trained / total:.2%})", what)
    announce("adapted", *adapted_share(model))
    say_parts(model)
    return model


def _freeze_biases(model: Any, towers: Sequence[str]) -> None:
    """Where all biases of the base are trained, those of other parts than these stay as they are."""
    if getattr(model.peft_config[model.active_adapter], "bias", "none") != "all":
        return
    parts = parts_in(model.get_base_model())
    chosen = parts.chosen(towers)
    for name, parameter in model.named_parameters():
        whole = "modules_to_save" in name.split(".")
        if name.endswith("bias") and not whole and parts.of(name) not in chosen:
            parameter.requires_grad_(False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """peft reads a property that transformers has renamed, and advises on how to call it; users can change neither."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="lora with eva initialization used with low_cpu_mem_usage")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
