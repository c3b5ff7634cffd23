"""Folders of LoRA adapters, for engines that put them over a model by request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

BASE = "base"
"""The name of the model without an adapter."""


@dataclass(frozen=True)
class Lora:
    """An adapter in a folder."""

    name: str  # by which a request chooses it
    folder: Path
    rank: int  # the highest of its layers


def loras_of(folders: Sequence[Path], engine: str) -> tuple[Lora, ...]:
    """Adapters by the names of their folders.

    Args:
        engine: that runs them, for the messages.

    Raises: TunesmithError for two of the same name, a folder that holds no adapter, and what engines do not run: other
        kinds of adapters than LoRA, DoRA, biases, and layers that were trained whole.
    """
    found = tuple(_lora(folder, engine) for folder in folders)
    names = [each.name for each in found]
    if len(set(names)) < len(names) or BASE in names:
        raise TunesmithError(
            f"adapters are called by their folders, and of {', '.join(map(str, folders))} two have one name, or one is "
            f"called {BASE}.\n  give one of them another name"
        )
    return found


def _lora(folder: Path, engine: str) -> Lora:
    file = folder / "adapter_config.json"
    if not file.is_file():
        raise TunesmithError(f"{folder} holds no adapter: there is no adapter_config.json.\n  engine.adapters=[FOLDER]")
    said: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    wrong = {
        f"it is {said.get('peft_type')}, not LoRA": said.get("peft_type") != "LORA",
        "it is DoRA": said.get("use_dora"),
        "it has biases": said.get("bias", "none") != "none" or said.get("lora_bias"),
        f"it holds whole layers ({', '.join(said.get('modules_to_save') or ())})": said.get("modules_to_save"),
        "it trains parameters of experts": said.get("target_parameters"),
    }
    reasons = [reason for reason, is_so in wrong.items() if is_so]
    if reasons:
        raise TunesmithError(
            f"{folder}: {engine} does not put this adapter over a model: {'; '.join(reasons)}.\n"
            "  merge it: tunesmith export RUN exporter=merged, and ask what that wrote"
        )
    return Lora(folder.name, folder, max([int(said.get("r", 8)), *(said.get("rank_pattern") or {}).values()]))
