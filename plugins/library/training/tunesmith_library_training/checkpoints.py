"""Which checkpoints are whole, how one becomes that, and which one a run goes on from.

A checkpoint is written beside its place, and comes there with a list of its files. A loop whose processes write into
its place themselves leaves, when it is killed, a folder without the list.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith_library_configuration.manifests import damages, is_listed, seal, told
from tunesmith_library_configuration.records import CONFIGURATION, MARKER, checkpoints_of, steps_of


def write(folder: Path, told_too: Mapping[str, Any], content: Callable[[Path], None]) -> None:
    """Write a checkpoint to its place, as a whole or not at all.

    Args:
        told_too: what its list says beside the files.
        content: writes its files into a folder.

    Raises: what `content` raises; OSError when it cannot be written.
    """
    with replacing(folder) as draft:
        draft.mkdir()
        content(draft)
        mark_complete(draft, told_too, folder.parent)


def write_in_place(
    folder: Path,
    told_too: Mapping[str, Any],
    content: Callable[[Path], None] | None,
    finish: Callable[[], None] | None,
) -> None:
    """Complete a checkpoint that all processes write into its place; the main one calls it.

    Args:
        content: writes what the main process alone writes; None when it has.
        finish: waits until all have written theirs.

    Raises: what these raise; OSError when it cannot be written.
    """
    if content is not None:
        folder.mkdir(exist_ok=True)
        content(folder)
    if finish is not None:
        finish()
    mark_complete(folder, told_too)


def mark_complete(folder: Path, told_too: Mapping[str, Any], run: Path | None = None) -> None:
    """Say that a checkpoint whose files are in its place is whole.

    Args:
        told_too: `facts`, which decide what examples a step sees, and `made_of`.
        run: the run's folder, whose configuration is kept with the checkpoint.
    """
    recorded = (run or folder.parent) / "run.yaml"
    if recorded.is_file():
        shutil.copyfile(recorded, folder / CONFIGURATION)
    seal(folder, MARKER, told_too)


def complete(output_dir: Path) -> list[Path]:
    """The checkpoints of a run that were finished, oldest first."""
    return [folder for folder in checkpoints_of(output_dir) if (folder / MARKER).is_file()]


def newest(output_dir: Path, facts: Mapping[str, Any]) -> Path | None:
    """The checkpoint to resume from, announced; None when there never was one.

    Damaged ones are named and set aside, and the newest that is whole is taken.

    Args:
        facts: as given when it was written; what differs is told.

    Raises: TunesmithError when all are damaged, or the training data has another size.
    """
    damaged: list[tuple[Path, str]] = []
    for folder in reversed(checkpoints_of(output_dir)):
        found = _damage(folder)
        if found is None:
            _compare(folder, facts)
            why = "the newest that is whole" if damaged else "the newest complete checkpoint"
            if steps_of(folder) != int(folder.name.rpartition("-")[2]):
                why += f", after {steps_of(folder)} steps whatever its name"
            if not is_listed(folder, MARKER):
                why += ", of an earlier version: whether its files are as they were cannot be seen"
            announce("resume", folder, why)
            for former, _ in damaged:
                _set_aside(former)
            return folder
        if found:
            logger.warning("%s is damaged: %s", folder, found)
            damaged.append((folder, found))
    if damaged:
        listed = "\n".join(f"  {folder.name}: {found}" for folder, found in damaged)
        raise TunesmithError(
            f"resume=true: no checkpoint in {output_dir} is whole.\n{listed}\n"
            "bring a copy of one back, or begin anew: overwrite=true"
        )
    announce("resume", "from the start", f"no complete checkpoint in {output_dir}")
    return None


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None when it is whole, and empty when it was never finished."""
    if not (folder / MARKER).is_file():
        return f"{MARKER}, the list of its files, is missing" if (folder / CONFIGURATION).is_file() else ""
    return "; ".join(damages(folder, MARKER)) or None


def _set_aside(folder: Path) -> None:
    """Rename a damaged checkpoint, so that it counts no more."""
    aside = folder.with_name(f"damaged-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    logger.warning("it is kept as %s", aside)


def _compare(folder: Path, facts: Mapping[str, Any]) -> None:
    """Refuse data of another size, and tell of what changes its order."""
    kept = told(folder, MARKER)
    former = kept.get("facts", kept)
    changed = {name: (former[name], value) for name, value in facts.items() if former.get(name, value) != value}
    if "num_examples" in changed:
        was, now = changed["num_examples"]
        raise TunesmithError(
            f"{folder} was trained on {was} examples, the training data now has {now}.\n"
            "  resume with the data of the run, or start a new one: output_dir=…"
        )
    for name, (was, now) in changed.items():
        logger.warning("resume: %s was %s and is %s now; the data will come in another order", name, was, now)


def discard_incomplete(output_dir: Path) -> None:
    """Delete what a killed run left of a checkpoint."""
    for folder in checkpoints_of(output_dir):
        if not (folder / MARKER).is_file():
            logger.warning("%s is incomplete and is deleted", folder)
            shutil.rmtree(folder, ignore_errors=True)


def rotate(output_dir: Path, limit: int | None, best: str | None) -> None:
    """Keep the newest `limit` whole checkpoints, and the best."""
    whole = complete(output_dir)
    for folder in whole[: -limit if limit else 0]:
        if best is None or folder.resolve() != Path(best).resolve():
            (folder / CONFIGURATION).unlink(missing_ok=True)  # these first, so that a folder half deleted
            (folder / MARKER).unlink()  # is not taken for a whole one, nor for one that was damaged
            shutil.rmtree(folder, ignore_errors=True)
