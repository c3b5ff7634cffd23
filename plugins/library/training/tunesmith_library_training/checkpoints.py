"""Which checkpoints are whole.

transformers writes a checkpoint's files one by one into its final place, each process its own, so that a killed run
leaves a folder that looks like a checkpoint. A marker, written when every process is done, tells the whole ones.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger

MARKER = "complete.json"


def mark_complete(folder: Path, facts: Mapping[str, Any]) -> None:
    """Say that a checkpoint is whole, and what the order of its data depends on."""
    with replacing(folder / MARKER) as draft:
        draft.write_text(json.dumps(dict(facts)) + "\n")


def complete(output_dir: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return [folder for folder in _all(output_dir) if (folder / MARKER).is_file()]


def newest(output_dir: Path, facts: Mapping[str, Any]) -> Path | None:
    """The checkpoint to resume from, announced; None when there is none.

    Args:
        facts: as given to `mark_complete`; a difference is warned about, for then the data comes in another order.

    Raises: TunesmithError when the training data has another size.
    """
    whole = complete(output_dir)
    if not whole:
        announce("resume", "from the start", f"no complete checkpoint in {output_dir}")
        return None
    announce("resume", whole[-1], "the newest complete checkpoint")
    former = json.loads((whole[-1] / MARKER).read_text())
    changed = {name: (former[name], value) for name, value in facts.items() if former.get(name, value) != value}
    if "num_examples" in changed:
        was, now = changed["num_examples"]
        raise TunesmithError(
            f"{whole[-1]} was trained on {was} examples, the training data now has {now}.\n"
            "  resume with the data of the run, or start a new one: output_dir=…"
        )
    for name, (was, now) in changed.items():
        logger.warning("resume: %s was %s and is %s now; the data will come in another order", name, was, now)
    return whole[-1]


def discard_incomplete(output_dir: Path) -> None:
    """Delete what a killed run left of a checkpoint."""
    for folder in _all(output_dir):
        if not (folder / MARKER).is_file():
            logger.warning("%s is incomplete and is deleted", folder)
            shutil.rmtree(folder, ignore_errors=True)


def rotate(output_dir: Path, limit: int | None, best: str | None) -> None:
    """Keep the newest `limit` whole checkpoints, and the best."""
    whole = complete(output_dir)
    for folder in whole[: -limit if limit else 0]:
        if best is None or folder.resolve() != Path(best).resolve():
            (folder / MARKER).unlink()  # first, so that a folder half deleted is not taken for a whole one
            shutil.rmtree(folder, ignore_errors=True)


def _all(output_dir: Path) -> list[Path]:
    numbered = ((re.fullmatch(r"checkpoint-(\d+)", folder.name), folder) for folder in output_dir.glob("checkpoint-*"))
    return [folder for _, folder in sorted((int(match[1]), folder) for match, folder in numbered if match)]
