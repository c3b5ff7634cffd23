"""What a folder holds that can be asked, measured or exported: what a run left, or a model that no run of ours made."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.folders import RECORD
from tunesmith_library_configuration.keys import Origin, Origins
from tunesmith_library_configuration.precisions import held_precision as held_precision
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.records import CONFIGURATION

_logger = logging.getLogger("tunesmith")

_MODEL, _ADAPTER = "config.json", "adapter_config.json"
_LEFT = "training_args.yaml"  # what programs that train in a folder call the configuration that they did it with
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
# files that are models by themselves, by their suffix: what reads and runs them
_FILES: dict[str, dict[str, Any]] = {".gguf": {"model": {"name": "gguf"}, "engine": {"name": "llamacpp"}}}


class Absent:
    """Stands for tokenizer, template and weights of a model that runs elsewhere: whatever is asked of it raises."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of the language, such as copy's
            raise AttributeError(name)
        raise ConfigError(
            f"{name} is asked of a model that runs elsewhere, and nothing of it is here.\n"
            "  model.path=MODEL names what it is, for its tokenizer and its template"
        )

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ConfigError("the weights are asked of a model that runs elsewhere.\n  engine=transformers runs it here")


absent: Any = Absent()


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a whole model, not an adapter."""
    return (folder / _MODEL).is_file() or (not (folder / RECORD).is_file() and _suffix_in(folder) is not None)


def foreign_model(path: Path) -> Path | None:
    """What no run of ours made: a file that is a model by itself, or the folder of a model; None for a configuration.

    Args:
        path: of a configuration, `run.yaml` in a run's folder; or of such a file.
    """
    if path.suffix.lower() in _FILES:
        return path
    return path.parent if path.name == RECORD and not path.is_file() else None


def _suffix_in(folder: Path) -> str | None:
    """The suffix of files in a folder that are models by themselves."""
    return next((suffix for suffix in _FILES if any(folder.glob(f"*{suffix}"))), None)


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds a trained adapter."""
    return (folder / _ADAPTER).is_file()


def words_of(folder: Path | None, base: Path, fetch: Callable[[str], Path] = Path) -> Path:
    """Where tokenizer and template of a handle are: its folder; the base, for an adapter that others saved alone.

    A checkpoint has them from its run, or, while that goes on, from the model that it began with.

    Args:
        fetch: gives the folder of a model by its address.
    """
    if folder is None:
        return base
    if _holds_words(folder) or (folder / RECORD).is_file():
        return folder
    if (folder / CONFIGURATION).is_file():
        began = read_yaml(folder / CONFIGURATION)[0]["model"]["path"]
        found = folder.parent if _holds_words(folder.parent) else fetch(began)
        _logger.info("tokenizer: that of %s (%s is a checkpoint)", found, folder)
        return found
    if holds_adapter(folder):
        _logger.info("tokenizer: the base's (%s holds an adapter alone)", folder)
        return base
    return folder


def _holds_words(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZER)


def adapter_of(folder: Path | None, adapter: Any, fetch: Callable[[str], Path]) -> Path | None:
    """The adapter that belongs to a handle: what a run trained, or without a run what the option `path` names.

    Args:
        folder: of the run.
        adapter: the adapter's plugin. Of several paths the last is taken; the plugin merges those before.
    """
    if folder is not None:
        return folder if holds_adapter(folder) else None
    named = getattr(adapter, "path", None) or []
    paths = [named] if isinstance(named, str) else list(named)
    return fetch(paths[-1]) if paths else None


Translate = Callable[[Mapping[str, Any], Origins, Origin], Any]
"""What a configuration of another program says in words of ours: `None`, or its `tree` and its `problems`."""


def configuration_of(folder: Path, translate: Translate | None = None) -> dict[str, Any]:
    """A configuration for a model or an adapter that no run of ours made, from what its folder says; or its file.

    Where the program that trained it left its own configuration there, the template is what that names.

    Raises: ConfigError for a folder that holds neither, and for an adapter that does not name its base.
    """
    left = folder / _LEFT
    if translate is not None and left.is_file():
        try:
            found = translate(*read_yaml(left), Origin(str(left)))
        except ConfigError:  # nobody asked for it
            found = None
        if found is not None and not found.problems and found.tree.get("template"):
            _logger.info("template: as in %s", left)
            return {**_configuration_of(folder), "template": found.tree["template"]}
    if (folder / CONFIGURATION).is_file() and (template := read_yaml(folder / CONFIGURATION)[0].get("template")):
        return {**_configuration_of(folder), "template": template}  # of the run whose checkpoint it is
    return _configuration_of(folder)


def _configuration_of(folder: Path) -> dict[str, Any]:
    if holds_adapter(folder):
        try:
            said = json.loads((folder / _ADAPTER).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder / _ADAPTER} cannot be read: {error}") from error
        base = said.get("base_model_name_or_path")
        if not base:
            raise ConfigError(f"{folder / _ADAPTER} does not say which model it belongs to.\nwrite model.path=MODEL")
        model = {"path": base, **({"revision": said["revision"]} if said.get("revision") else {})}
        return {"model": model, "adapter": {"name": str(said.get("peft_type", "LORA")).lower()}}
    if (folder / _MODEL).is_file():
        return {"model": {"path": str(folder)}}
    suffix = folder.suffix.lower() if folder.is_file() else _suffix_in(folder)
    if suffix in _FILES:
        found = _FILES[suffix]
        return {**found, "model": {**found["model"], "path": str(folder)}}
    raise ConfigError(f"{folder} is a folder without run.yaml, so not a run.\ngive a YAML file or a run's folder")
