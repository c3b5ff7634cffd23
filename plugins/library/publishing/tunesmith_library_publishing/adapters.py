"""An adapter under the names of the class that its base was published as, which is what other programs load.

peft names weights and targets after the modules of the loaded model. Where that is the text part of the published one
(see `naming`), the names are translated when an adapter is saved, and back when it is loaded. Adapters with the names
of the loaded class are read as they are.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from tunesmith.messages import logger

from tunesmith_library_publishing.files import open_to_readers
from tunesmith_library_publishing.naming import Names, names_of

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_LISTS = ("target_modules", "exclude_modules", "modules_to_save", "target_parameters")
_MAPPINGS = ("rank_pattern", "alpha_pattern", "trainable_token_indices")
_NO_ADAPTER = ("weight", "bias", "token_adapter")  # what follows a module that is saved whole, or some rows of it
_DEEPEST = 3  # parts of a name after its module: base_layer.lora_A.weight


def names_for(model: Any) -> Names | None:
    """The translation for an adapter of peft, or for the model that gets one; None where nothing is to translate."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    address = getattr(plain, "name_or_path", "")
    if not address or not (Path(address) / "config.json").is_file() or not hasattr(plain, "base_model_prefix"):
        return None
    return names_of(plain, Path(address))


def publish(model: Any, folder: Path) -> None:
    """Give a saved adapter the names of the published class.

    Args:
        model: with the adapter, of peft; any other is left alone.
        folder: where it was saved.
    """
    if not (folder / _CONFIG).is_file() or not (folder / _WEIGHTS).is_file():
        return
    open_to_readers(folder / _WEIGHTS)
    names = names_for(model)
    if names is None:
        return
    with safe_open(folder / _WEIGHTS, "pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        metadata = file.metadata()
    renamed = {published_key(names, key): weight for key, weight in weights.items()}
    unknown = [key for key in renamed if len(_place(key, names.modules)[1]) > _DEEPEST]
    if unknown:
        logger.warning("the adapter keeps the names of the loaded class: the published one has no %s", unknown[0])
        return
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    translated = _translated(config, functools.partial(_whole_name, names))
    translated["target_modules"] = _targets(translated.get("target_modules"), renamed, names)
    save_file(renamed, folder / _WEIGHTS, metadata)
    open_to_readers(folder / _WEIGHTS)
    (folder / _CONFIG).write_text(json.dumps(translated, indent=2, sort_keys=True), encoding="utf-8")


def published_key(names: Names | None, key: str) -> str:
    """The published name of a weight of an adapter."""
    if names is None or not key.startswith(_PREFIX):
        return key
    return _PREFIX + names.published(key.removeprefix(_PREFIX))


def as_loaded(config: Any, names: Names | None) -> dict[str, str]:
    """Translate the configuration of a saved adapter to the loaded model, in place.

    Args:
        config: of peft.

    Returns: peft's `key_mapping` for the adapter's weights.
    """
    if names is None:
        return {}
    translated = _translated({name: getattr(config, name, None) for name in (*_LISTS, *_MAPPINGS)}, names.loaded)
    for name, value in translated.items():
        if value is not None:
            setattr(config, name, set(value) if isinstance(getattr(config, name), set) else value)
    return {f"^{re.escape(names.theirs)}": names.ours}


def _translated(config: Mapping[str, Any], translate: Callable[[str], str]) -> dict[str, Any]:
    changed = dict(config)
    for name in _LISTS:
        value = config.get(name)
        if isinstance(value, list | set | tuple):
            changed[name] = sorted(translate(item) for item in value)
    for name in _MAPPINGS:
        value = config.get(name)
        if isinstance(value, Mapping):
            changed[name] = {translate(key): item for key, item in value.items()}
    return changed


def _whole_name(names: Names, name: str) -> str:
    """The published name of a module or parameter that is named whole; the last part of one, or a pattern, stays."""
    published = names.published(name)
    owner, _, parameter = published.rpartition(".")
    whole = owner in names.modules and hasattr(names.skeleton.get_submodule(owner), parameter)
    return published if whole else name


def _targets(targets: Any, keys: Collection[str], names: Names) -> Any:
    """Names that fit the adapted layers alone: short ones may fit others in the published class, such as a tower's.

    Args:
        targets: peft's, of layers; fused experts are targets of another kind.
        keys: of the adapter's weights.
    """
    if not isinstance(targets, list) or not targets:
        return targets
    places = [_place(key, names.modules) for key in keys]
    adapted = {module for module, rest in places if rest and rest[0] not in _NO_ADAPTER}
    adapted = {module for module in adapted if hasattr(names.skeleton.get_submodule(module), "weight")}
    fitting = {module for module in names.modules if any(f".{module}".endswith(f".{target}") for target in targets)}
    return targets if fitting <= adapted or not adapted else sorted(adapted)


def rest_of(key: str, modules: Collection[str]) -> str:
    """What follows the module that a weight of an adapter is at: `lora_A.weight`; all of it where it is at none."""
    module, rest = _place(key, modules)
    return ".".join(rest) if module else key


def _place(key: str, modules: Collection[str]) -> tuple[str, list[str]]:
    """The module that a weight of an adapter is at, and the parts of its name after that."""
    parts = key.removeprefix(_PREFIX).split(".")
    end = next((end for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in modules), 0)
    return ".".join(parts[:end]), parts[end:]
