"""What another program's training left in a folder, where a run of ours is asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tunesmith_library_configuration.problems import Problem

_MODEL, _ADAPTER, _STATE = "config.json", "adapter_config.json", "trainer_state.json"
_OPTIMIZER = ("optimizer.pt", "scheduler.pt")


def not_resumable(folder: Path) -> Problem | None:
    """Why `resume=true` cannot go on with a folder that no run of ours wrote; None for nothing to go on with.

    Its weights can be gone on with, and the states of optimizer and schedule where a checkpoint has them; but what it
    was trained on is not in the folder.
    """
    checkpoints = [path.parent for path in folder.glob(f"checkpoint-*/{_STATE}") if _number(path.parent) is not None]
    newest = max(checkpoints, key=lambda path: _number(path) or 0, default=folder)
    if not any((place / name).is_file() for place in (folder, newest) for name in (_MODEL, _ADAPTER)):
        return None
    what = "an adapter" if any((place / _ADAPTER).is_file() for place in (newest, folder)) else "a whole model"
    told = f"resume=true: {folder} is no run of ours but {what} that another program left"
    step = _step(newest)
    told += f", of which {newest} has {step} steps behind it" if step is not None else ", without a checkpoint"
    return Problem("resume", f"{told}; what it was trained on is not said there.", "\n".join(_advice(folder, newest)))


def _advice(folder: Path, newest: Path) -> list[str]:
    key = "adapter.path" if (newest / _ADAPTER).is_file() else "model.path"
    written = sorted(path for path in folder.glob("*.y*ml"))
    configuration = f"{written[0]}" if written else "CONFIG.yaml"
    lines = []
    if (newest / _STATE).is_file() and all((newest / name).is_file() for name in _OPTIMIZER):
        lines.append(
            "with its weights, optimizer and schedule, and the configuration that it was trained with: "
            f"tunesmith train {configuration} trainer.resume_from={newest} output_dir=NEW"
        )
    elif _step(newest) is not None:
        lines.append(f"the states of its optimizer and schedule ({', '.join(_OPTIMIZER)}) were not kept")
    lines.append(f"with its weights alone: tunesmith train {configuration} {key}={newest} output_dir=NEW")
    return lines


def _number(checkpoint: Path) -> int | None:
    found = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    return int(found[1]) if found else None


def _step(checkpoint: Path) -> int | None:
    """The steps that a checkpoint has behind it, as its own state says; None where there is none that can be read."""
    try:
        return int(json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
