"""What is known of a run by its folder alone; read again only when something in the folder has changed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tunesmith_library_configuration.records import MARKER, checkpoints_of

from tunesmith_library_studio.runs.folders import RECORD, Place
from tunesmith_library_studio.runs.logged import Logged, finite, logged, of_history

METRICS = ("metrics.jsonl", "trainer_log.jsonl")
_LARGEST = 10_000_000  # bytes of a configuration or record that are read
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt")
_FRESH = 2.0  # seconds by which a record's file may be older than the start that it tells of, for coarse clocks


@dataclass
class Facts:
    """Of one run; all of it can be written as JSON."""

    mark: str = ""  # of the folder when this was read
    problem: str = ""  # what kept its configuration from being read
    configuration: str = "{}"  # as JSON
    status: str | None = None  # as run.json has it, of the newest start: finished, interrupted, failed
    seconds: float | None = None  # that run.json has, of all starts together
    result: str | None = None  # `model` or `adapter`: what it trained
    checkpoints: list[tuple[str, bool]] = field(default_factory=list)  # names in order, and whether each is whole
    started: float = 0.0
    modified: float = 0.0
    size: int = 0  # bytes
    evaluations: list[str] = field(default_factory=list)  # evaluators whose results are there
    logged: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Any) -> Facts | None:
        """What `asdict` made of some; None where that cannot be read."""
        try:
            found = cls(**told)
            found.checkpoints = [(str(name), bool(whole)) for name, whole in found.checkpoints]
        except (TypeError, ValueError):
            return None
        return found

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.configuration)
        return found


def facts_of(place: Place, before: Facts | None) -> Facts:
    """Read a run's folder.

    Args:
        before: what was known of it, of which the metrics are read on.
    """
    found = Facts(mark=place.mark)
    config: dict[str, Any] = {}
    try:
        config = _of_others(place) if place.foreign else configuration_of(place.path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        found.problem = f"{RECORD} cannot be read: {error}"
    found.configuration = json.dumps(finite(config), ensure_ascii=False, default=str)
    found.checkpoints = [(folder.name, place.foreign or (folder / MARKER).is_file()) for folder in _checkpoints(place)]
    found.result = _result(place)
    found.evaluations = sorted(_evaluators(place.path / "eval")) if "eval" in place.entries else []
    found.logged = asdict(_logged(place, config, Logged.of(before.logged) if before else Logged()))
    _take_times(found, place)
    found.size = size_of(place.path)
    return found


def configuration_of(folder: Path) -> dict[str, Any]:
    """A run's configuration as it was recorded.

    Raises: OSError, ValueError, yaml.YAMLError where it cannot be read.
    """
    file = folder / RECORD
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST // 1_000_000} MB")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = yaml.load(file.read_text(encoding="utf-8"), loader)
    if not isinstance(found, dict):
        raise ValueError("it is no mapping of options")
    return found


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object of a file; {} where there is none that can be read."""
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8")) if file.stat().st_size <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return finite(found) if isinstance(found, dict) else {}


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; links are not followed."""
    total = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                inside = entry.is_dir(follow_symlinks=False)
                total += size_of(Path(entry.path)) if inside else entry.stat(follow_symlinks=False).st_size
    return total


def _of_others(place: Place) -> dict[str, Any]:
    """The little that another program's folder says of what made it, under our names."""
    adapter = read_json(place.path / "adapter_config.json")
    found: dict[str, Any] = {}
    if base := adapter.get("base_model_name_or_path"):
        found["model"] = {"path": base}
        found["adapter"] = {"name": str(adapter.get("peft_type", "")).lower(), "rank": adapter.get("r")}
    theirs = place.path / "training_args.yaml"  # LLaMA-Factory's page writes it
    if theirs.is_file() and theirs.stat().st_size <= _LARGEST:
        told = yaml.safe_load(theirs.read_text(encoding="utf-8"))
        if isinstance(told, Mapping):
            found["model"] = {"path": told.get("model_name_or_path", found.get("model", {}).get("path"))}
            found["stage"] = {"name": {"pt": "pretrain", "rm": "reward"}.get(str(told.get("stage")), told.get("stage"))}
            found["data"] = {"train": [{"path": name.strip()} for name in str(told.get("dataset", "")).split(",")]}
    return found


def _checkpoints(place: Place) -> list[Path]:
    return checkpoints_of(place.path) if any(name.startswith("checkpoint-") for name in place.entries) else []


def _result(place: Place) -> str | None:
    weights = any(name.endswith(_WEIGHTS) and name != "training_args.bin" for name in place.entries)
    if not weights:
        return None
    return "adapter" if "adapter_config.json" in place.entries else "model" if "config.json" in place.entries else None


def _evaluators(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (entry.name for entry in os.scandir(folder) if entry.is_dir())


def _logged(place: Place, config: Mapping[str, Any], before: Logged) -> Logged:
    trainer = config.get("trainer")
    trainer = trainer if isinstance(trainer, Mapping) else {}
    chosen = trainer.get("metric_for_best_model"), trainer.get("greater_is_better")
    names = [name for name in METRICS if name in place.entries]
    try:
        if names:
            return logged(place.path / names[0], before, *chosen)
        state = read_json(place.path / "trainer_state.json")
        found = of_history(state.get("log_history"), *chosen)
        if found.last:
            found.last.setdefault("total_steps", state.get("max_steps"))
    except OSError:
        return Logged()
    return found


def _take_times(found: Facts, place: Place) -> None:
    """When it began and was last written to, and what its record says of the newest start."""
    times = [at.st_mtime for name, at in place.entries.items() if is_file_of_run(name)]
    record = place.entries.get(RECORD)
    begun = [record.st_mtime] if record else times
    first = found.logged.get("first")
    found.started = min([*begun, *([first] if first else [])], default=0.0)
    found.modified = max(times, default=found.started)
    told = place.entries.get("run.json")
    if told and record and told.st_mtime >= record.st_mtime - _FRESH:
        said = read_json(place.path / "run.json")
        found.status = said.get("status") if isinstance(said.get("status"), str) else None
        measured = said.get("measured")
        seconds = measured.get("seconds") if isinstance(measured, Mapping) else None
        if isinstance(seconds, Mapping):
            parts = (seconds.get(name) for name in ("loading", "training"))
            found.seconds = sum(value for value in parts if isinstance(value, int | float))


def is_finished(folder: Path) -> bool:
    """Whether the newest start of a run trained to its end, so that there is nothing to go on with."""
    try:
        told, begun = ((folder / name).stat().st_mtime for name in ("run.json", RECORD))
    except OSError:
        return False
    return told >= begun - _FRESH and read_json(folder / "run.json").get("status") == "finished"


def is_file_of_run(name: str) -> bool:
    """Whether a file's time tells of the training."""
    return not name.startswith(".") and not name.endswith(".lock") and name not in ("eval", "README.md")
