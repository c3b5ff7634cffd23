"""The two things that are compared: what was written, its folder, and the model as it is opened."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.folders import RECORD
from tunesmith_library_configuration.handles import configuration_of, holds_adapter, holds_model

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True)
class Subject:
    """A run, a model or an adapter."""

    address: str  # as it was written
    folder: Path  # that holds its configuration and tensors

    @property
    def is_adapter(self) -> bool:
        return not holds_model(self.folder) and holds_adapter(self.folder)

    @property
    def config_file(self) -> str:
        return "adapter_config.json" if self.is_adapter else "config.json"

    @functools.cached_property
    def handle(self) -> ModelHandle:
        """Raises: TunesmithError when it cannot be opened, as without the base of an adapter."""
        return _opened(self.address)


def subject_of(address: str) -> Subject:
    """What an address stands for: a folder here, a configuration, or a name on a hub.

    Raises: TunesmithError for a file that is no configuration, a run that has no model yet, and what is not found.
    """
    path = Path(address).expanduser()
    if path.suffix.lower() == ".gguf" or (path.is_dir() and not _holds_any(path) and any(path.glob("*.gguf"))):
        raise TunesmithError(
            f"{address} is a GGUF file, whose tensors have other names and numbers.\n"
            f"  tunesmith export RUN exporter=gguf proves such a file beside its run; tunesmith verify asks its server"
        )
    if path.is_dir() and _holds_any(path):
        return Subject(str(path), path)
    handle = _opened(str(path) if path.exists() else address)
    found = Subject(address, handle.adapter or handle.source.path)
    vars(found)["handle"] = handle
    return found


def _holds_any(folder: Path) -> bool:
    return holds_model(folder) or holds_adapter(folder)


def _opened(address: str) -> ModelHandle:
    import tunesmith

    handle: Any = tunesmith.open_model(*_configuration(address))
    opened: ModelHandle = handle
    return opened


def _configuration(address: str) -> tuple[str | dict[str, Any] | None, dict[str, Any]]:
    """A configuration and its overrides; an adapter that was saved without a tokenizer has that of its base."""
    folder = Path(address)
    if not folder.exists():
        return None, {"model.path": address}
    if holds_adapter(folder) and not any((folder / name).is_file() for name in (RECORD, *_TOKENIZERS)):
        return configuration_of(folder), {"adapter.path": str(folder)}
    return address, {}
