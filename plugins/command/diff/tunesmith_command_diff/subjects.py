"""The two things that are compared: what was written, its folder, and the model as it is opened."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.folders import RECORD
from tunesmith_library_configuration.handles import holds_adapter, holds_model
from tunesmith_library_configuration.reading import read_yaml


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

    @functools.cached_property
    def unquantised(self) -> ModelHandle:
        """The same, where a quantizer of the configuration leaves the base in full.

        Raises: as `handle`.
        """
        if not _quantises(self.folder):
            return self.handle
        return _opened(self.address, {"quantizer": None})


def subject_of(address: str) -> Subject:
    """What an address stands for: a folder here, a configuration, or a name on a hub.

    Raises: TunesmithError for a file that is no configuration, a run that has no model yet, and what is not found.
    """
    path = Path(address).expanduser()
    if path.suffix.lower() == ".gguf" or (path.is_dir() and _is_of_gguf(path)):
        raise TunesmithError(
            f"{address} is GGUF, whose tensors have other names and numbers, and llama.cpp computes with it.\n"
            "  tunesmith export RUN exporter=gguf compares every tensor and what it says with the run, and writes\n"
            "  export_report.json beside it; tunesmith verify RUN --url URL asks a server of the file;\n"
            "  tunesmith diff takes the folder that it was made of"
        )
    if path.is_dir() and _holds_any(path):
        return Subject(str(path), path)
    handle = _opened(str(path) if path.exists() else address)
    found = Subject(address, handle.adapter or handle.source.path)
    vars(found)["handle"] = handle
    return found


def _is_of_gguf(folder: Path) -> bool:
    """Whether a folder has GGUF files, and nothing that transformers loads."""
    others = ("config.json", "adapter_config.json", RECORD)
    return not any((folder / name).is_file() for name in others) and any(folder.glob("*.gguf"))


def _holds_any(folder: Path) -> bool:
    return holds_model(folder) or holds_adapter(folder)


def _quantises(folder: Path) -> bool:
    """Whether a run's record selects a quantizer."""
    record = folder / RECORD
    return record.is_file() and bool((read_yaml(record)[0] or {}).get("quantizer"))


def _opened(address: str, further: Mapping[str, Any] | None = None) -> ModelHandle:
    import tunesmith

    configuration, overrides = _configuration(address)
    # in fewer bits than they are held in, weights that differ would be equal, and equal ones differ once merged
    exact = {} if _quantises(Path(address)) else {"precision": "fp32"}
    handle: Any = tunesmith.open_model(configuration, {**overrides, **exact, **(further or {})})
    opened: ModelHandle = handle
    return opened


def _configuration(address: str) -> tuple[str | dict[str, Any] | None, dict[str, Any]]:
    """A configuration and its overrides."""
    return (address, {}) if Path(address).exists() else (None, {"model.path": address})
