"""The class that a model was published as, and what the modules of the loaded one are called in it.

Of a model that reads images too, a run that trains on text loads the text part: `Qwen3_5ForCausalLM` of a published
`Qwen3_5ForConditionalGeneration`, whose `model.layers` are `model.language_model.layers` there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig, PreTrainedModel

from tunesmith_library_publishing.inventory import read_json


@dataclass(frozen=True)
class Names:
    """How module names of the loaded class and of the published one translate."""

    ours: str  # a prefix with its dot, "" for the whole model
    theirs: str  # what takes its place
    modules: frozenset[str]  # of the published class
    skeleton: Any = field(compare=False, repr=False)  # a model of the published class, without weights

    def published(self, name: str) -> str:
        """The published name of a module or weight, given without a wrapper's prefix."""
        if f"{name}." == self.ours:
            return self.theirs.removesuffix(".")
        return self.theirs + name.removeprefix(self.ours) if name.startswith(self.ours) else name

    def loaded(self, name: str) -> str:
        """The name in the loaded model; one that is not of its part, or is its own already, comes back as it is."""
        return self.ours + name.removeprefix(self.theirs) if name.startswith(self.theirs) else name


def published_class(folder: Path, loaded: type) -> type:
    """The class of transformers that a result of this base is published as.

    It is the base's own where the loaded one has the same task, and for a model of another task (a classifier) the
    one that transformers has for the base's configuration.

    Args:
        loaded: the class of the model.
    """
    described: Any = loaded
    found = _own_class(folder)
    if found is None:
        return loaded
    if found.can_generate() == described.can_generate():
        return found  # type: ignore[no-any-return]
    config = type(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    if config is described.config_class or config not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return loaded
    classifier: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[config]
    return loaded if described.can_generate() else classifier


def on_meta(model_class: Any, folder: Path) -> Any:
    """A model of a class without weights, as a folder's configuration describes it."""
    with torch.device("meta"):
        return model_class(model_class.config_class.from_pretrained(folder))


def names_of(model: Any, folder: Path) -> Names | None:
    """The translation between a loaded model and the class that its base was published as.

    Args:
        model: of transformers, without wrappers.
        folder: of the base.

    Returns: None where both are the same class, or where the loaded one is no part of the published one.
    """
    published = published_class(folder, type(model))
    if published is type(model):
        return None
    skeleton = on_meta(published, folder)
    parts = {name: module for name, module in skeleton.named_modules() if isinstance(module, PreTrainedModel)}
    own = {"": model, **dict(model.named_children())}
    for ours, module in own.items():
        theirs = next((name for name, part in parts.items() if type(part) is type(module)), None)
        if theirs is not None:
            modules = frozenset(name for name, _ in skeleton.named_modules())
            return Names(f"{ours}." if ours else "", f"{theirs}.", modules, skeleton)
    return None


def head_names(folder: Path) -> Collection[str]:
    """The names of the weights of a base's output layer; none for a base that does not write."""
    published = _own_class(folder)
    if published is None or not published.can_generate():
        return ()
    skeleton = on_meta(published, folder)
    head = skeleton.get_output_embeddings()
    found = next((name for name, module in skeleton.named_modules() if module is head and head is not None), None)
    return () if found is None else [f"{found}.{name}" for name, _ in head.named_parameters()]


def _own_class(folder: Path) -> Any:
    """The class that a folder's configuration names; None for one that transformers does not have."""
    said = read_json(folder / "config.json")
    name = next(iter(said.get("architectures") or ()), "")
    return None if "auto_map" in said else getattr(transformers, name, None)
