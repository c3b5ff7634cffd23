"""Model cards: README.md as the Hugging Face hub reads it, from what a run recorded of itself."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tunesmith.addresses import hub_of, is_path
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.reading import to_yaml

from tunesmith_library_publishing.inventory import read_json

CARD = "README.md"
_LICENCE = ("license", "license_name", "license_link")
_PACKAGES = ("torch", "transformers", "peft", "datasets")
_TRAINER = (
    *("num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate"),
    *("lr_scheduler_type", "warmup_ratio", "warmup_steps", "weight_decay", "max_grad_norm", "optim"),
)
_NAMED = ("stage", "adapter", "quantizer", "loss", "optimizer")


@dataclass(frozen=True)
class Kind:
    """What a folder holds, as the hub has it."""

    library: str = "transformers"  # that loads it
    relation: str = "finetune"  # to the base: finetune, adapter, merge, quantized


def write_card(handle: ModelHandle, folder: Path, kind: Kind | None = None) -> None:
    """Write the card of what a run has trained; a folder of a model that no run trained keeps its own.

    Args:
        folder: with everything else, the report of the export included.
    """
    run = handle.adapter or handle.source.path
    if not (run / "run.yaml").is_file():
        return
    config: dict[str, Any] = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8")) or {}
    head = to_yaml(dict(_metadata(config, handle, folder, kind or Kind())))
    body = "\n".join(_body(config, run, folder))
    (folder / CARD).write_text(f"---\n{head}---\n\n{body}", encoding="utf-8")


def front_matter(file: Path) -> dict[str, Any]:
    """The metadata at the head of a card; {} where there is none, or it is not YAML."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if not text.startswith("---\n"):
        return {}
    try:
        said = yaml.safe_load(text[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return said if isinstance(said, dict) else {}


def _metadata(config: Mapping[str, Any], handle: ModelHandle, folder: Path, kind: Kind) -> Iterator[tuple[str, Any]]:
    """What the hub reads; an address that is only somebody's folder is left out."""
    base = str(_part(config, "model").get("path", ""))
    if base and not _is_local(base):
        yield "base_model", hub_of(base)[1]
        yield "base_model_relation", kind.relation
    sets = [hub_of(path)[1].removeprefix("datasets/") for path in _sets(config) if not _is_local(path)]
    if sets:
        yield "datasets", sets
    yield from _licence(handle.source.path)
    yield "library_name", kind.library
    yield "pipeline_tag", _task(read_json(folder / "config.json") or read_json(handle.source.path / "config.json"))
    names = (_part(config, key).get("name") for key in ("stage", "adapter"))
    yield "tags", ["tunesmith", *(str(name) for name in names if name)]


def _licence(base: Path) -> Iterator[tuple[str, Any]]:
    said = front_matter(base / CARD)
    found = [(name, said[name]) for name in _LICENCE if said.get(name)]
    if not found and (base / "LICENSE").is_file():
        found = [("license", "other"), ("license_link", "LICENSE")]
    yield from found


def _task(config: Mapping[str, Any]) -> str:
    name = next(iter(config.get("architectures") or ()), "")
    if "Classification" in name:
        return "text-classification"
    return "image-text-to-text" if "vision_config" in config else "text-generation"


def _body(config: Mapping[str, Any], run: Path, folder: Path) -> Iterator[str]:
    base = str(_part(config, "model").get("path", "a model"))
    stage, adapter = (_part(config, key).get("name", default) for key, default in (("stage", "sft"), ("adapter", "")))
    yield f"# {folder.name}\n"
    over = f" with adapter={adapter}" if adapter else ""
    yield f"{_named(base)}, fine-tuned by stage={stage}{over} with [Tunesmith]({_homepage()}).\n"
    yield "## Training data\n"
    yield from (f"- {_named(path)}" for path in _sets(config))
    yield "\n## Training procedure\n\n| option | value |\n|---|---|"
    yield from (f"| `{key}` | {value} |" for key, value in _options(config))
    measured = list(_measured(run / "metrics.jsonl"))
    if measured:
        yield "\n## Evaluation\n\n| metric | value |\n|---|---|"
        yield from (f"| {name} | {value:.4g} |" for name, value in measured)
    proven = read_json(folder / "export_report.json")
    if proven:
        figures = ", ".join(f"{name} {value}" for name, value in proven.get("figures", {}).items())
        yield f"\n## Export\n\nCompared with the trained model in {proven.get('program')}: {figures}."
    yield "\n## Framework versions\n"
    yield from (f"- {name} {version}" for name, version in _versions(run))
    yield ""


def _options(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for kind in _NAMED:
        part = _part(config, kind)
        if part.get("name"):
            yield kind, part["name"]
            options = {name: value for name, value in part.items() if name != "name" and _is_plain(value)}
            yield from ((f"{kind}.{name}", value) for name, value in options.items())
    trainer = _part(config, "trainer")
    yield from ((f"trainer.{name}", trainer[name]) for name in _TRAINER if trainer.get(name) is not None)
    yield from ((name, config[name]) for name in ("precision", "seed") if name in config)


def _is_plain(value: Any) -> bool:
    """Whether a value says something, and is nobody's path."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and "/" not in value and "\\" not in value)


def _measured(file: Path) -> Iterator[tuple[str, float]]:
    """What the run measured last, by name."""
    found: dict[str, float] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        said = json.loads(line) if line.startswith("{") else {}
        if str(said.get("event", "")).startswith("eval"):
            numbers = {name: value for name, value in said.items() if isinstance(value, int | float)}
            found |= {name: value for name, value in numbers.items() if name not in ("step", "epoch", "time")}
    yield from found.items()


def _versions(run: Path) -> Iterator[tuple[str, str]]:
    """Of tunesmith as the run wrote it down, and of what it stands on as it is here."""
    lock = run / "plugins.lock"
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    yield from (tuple(line.split("==", 1)) for line in lines if line.startswith("tunesmith=="))  # type: ignore[misc]
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


def _part(config: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    part = config.get(kind)
    return part if isinstance(part, Mapping) else {"name": part} if isinstance(part, str) else {}


def _sets(config: Mapping[str, Any]) -> list[str]:
    entries = _part(config, "data").get("train") or []
    entries = entries if isinstance(entries, list) else [entries]
    return [str(entry.get("path") if isinstance(entry, Mapping) else entry) for entry in entries]


def _is_local(address: str) -> bool:
    return hub_of(address)[0] == "local" or is_path(address)


def _named(address: str) -> str:
    """An address for others: the name alone of what is in somebody's folder."""
    return f"`{Path(address).name}` (local)" if _is_local(address) else f"`{hub_of(address)[1]}`"


def _homepage() -> str:
    return "https://github.com/tunesmith-dev/tunesmith"
