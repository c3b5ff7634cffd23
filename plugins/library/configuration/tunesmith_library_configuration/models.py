"""Known models: names that people call them by, with their ids on the hubs, from files `models.yaml`."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.recipes import recipe_folders

FILE = "models.yaml"
_LIKE = 0.8  # of a name that is told to whoever asks for one that nobody knows
_ASKED = 8  # characters that such a one has at least


@dataclass(frozen=True)
class KnownModel:
    """A model that a registry names."""

    name: str
    hubs: Mapping[str, str]  # its id by hub
    template: str | None  # that it was trained with; None for a base model
    file: Path  # where it stands

    def address(self, default_hub: str) -> str:
        """Its id on the hub that is asked first, else with the scheme of the first that has it."""
        if default_hub in self.hubs:
            return self.hubs[default_hub]
        hub, model = next(iter(self.hubs.items()))
        return f"{hub}://{model}"


def known_models() -> dict[str, KnownModel]:
    """All known models by name: of `conf/models.yaml` in the current folder, then of the installed registries.

    Raises: ConfigError for a file that is not such a registry.
    """
    found: dict[str, KnownModel] = {}
    for file in (Path("conf", FILE), *(folder / FILE for folder in recipe_folders())):
        if file.is_file():
            found = {**_read(file, file.stat().st_mtime_ns), **found}
    return found


@functools.lru_cache(maxsize=8)
def _read(file: Path, changed: int) -> dict[str, KnownModel]:
    try:
        entries = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {error}") from error
    if not isinstance(entries, dict):
        raise ConfigError(f"{file} is no registry of models.\nwrite NAME: {{huggingface: org/model, template: name}}")
    return {str(name): _model(str(name), entry, file) for name, entry in entries.items()}


def _model(name: str, entry: Any, file: Path) -> KnownModel:
    hubs = dict(entry) if isinstance(entry, dict) else {"huggingface": entry}
    template = hubs.pop("template", None)
    if not hubs or not all(isinstance(model, str) for model in (*hubs.values(), *([template] if template else []))):
        advice = "write its id by hub: {huggingface: org/model, template: name}"
        raise ConfigError(f"{file}: {name} has no id on any hub, or one that is no text.\n{advice}")
    return KnownModel(name, hubs, template, file)


def find_model(asked: str) -> tuple[KnownModel | None, list[str]]:
    """The known model that people mean by a name, and the names that begin with it where they are several.

    It is the one with that name, else with an id that ends with it, else the only one whose name goes on behind it;
    upper and lower case are the same, and hyphens are left out or written where no name has them so.
    """
    models, low = known_models(), asked.lower()
    hubs = list(dict.fromkeys(hub for model in models.values() for hub in model.hubs))
    for spelt in (str.lower, spelling):
        sought = spelt(asked)
        for name, model in models.items():
            if spelt(name) == sought:
                return model, []
        for hub in hubs:
            for model in models.values():
                if spelt(model.hubs.get(hub, "").rpartition("/")[2]) == sought:
                    return model, []
    longer = [name for name in models if name.lower().startswith((f"{low}-", f"{low}_", f"{low}."))]
    return (models[longer[0]], []) if len(longer) == 1 else (None, longer)


def model_with_id(address: str) -> KnownModel | None:
    """The known model that has an id on a hub: the address without its scheme; None where none has it."""
    sought = address.rpartition("://")[2].lower()
    return next((model for model in known_models().values() if sought in map(str.lower, model.hubs.values())), None)


def spelling(name: str) -> str:
    """A name as it is compared: in lower case, without hyphens and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def _alike(asked: str) -> str | None:
    """The known model whose name, or its beginning, is most like one that nobody has; None where none is."""
    sought = spelling(asked)

    def likeness(name: str) -> float:
        whole = spelling(name)
        texts = (whole, whole[: len(sought) + 1])
        return max(difflib.SequenceMatcher(None, sought, text).ratio() for text in texts)

    near = max(known_models(), key=likeness, default="") if len(asked) >= _ASKED else ""
    return near if near and likeness(near) >= _LIKE else None


def with_known_model(tree: dict[str, Any]) -> list[str]:
    """Put the id of a known model in the place of its name in `model.path`, and say so.

    A path with a slash, of a file or folder, or with a scheme stays as it is.
    """
    model = tree.get("model")
    path = model.get("path") if isinstance(model, dict) else None
    if not isinstance(path, str) or not path or any(mark in path for mark in "/\\~$") or os.path.exists(path):
        return []
    known, several = find_model(path)
    if known is None:
        if not several:
            near = _alike(path)
            return [f"model.path={path}: no known model is called so; did you mean {near}?"] if near else []
        shown = ", ".join(sorted(several)[:6]) + (", …" if len(several) > 6 else "")
        return [
            f"model.path={path}: {len(several)} known models begin so: {shown}; `tunesmith models {path}` lists them"
        ]
    address = known.address(str(tree.get("default_hub") or "huggingface"))
    tree["model"] = {**model, "path": address}  # type: ignore[dict-item]
    return [f"model.path: {address} ({path} in {known.file.name})"]
