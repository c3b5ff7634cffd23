"""What is averaged: the checkpoints of a run, or the results of several, and whether they fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.manifests import damages
from tunesmith_library_configuration.reading import read_yaml
from tunesmith_library_configuration.records import MARKER, checkpoints_of, steps_of
from tunesmith_library_publishing.inventory import Stored, read_json, tensors_of

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# what of an adapter's configuration says nothing of what its weights mean
_MEANS_NOTHING = (
    *("base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version", "runtime_config"),
    *("lora_dropout", "module_dropout", "eva_config", "loftq_config", "task_type"),
)
_SHOWN = 3


@dataclass(frozen=True)
class Member:
    """One of those that are averaged."""

    name: str  # for people: checkpoint-20, or the address of a run
    folder: Path
    weight: float  # as it was given


def members_of(
    handle: ModelHandle, runs: Sequence[str], last: int | None, steps: Sequence[int], weights: Sequence[float]
) -> list[Member]:
    """What is to be averaged.

    Args:
        weights: as given; none: 1 for each.

    Raises: TunesmithError when there is nothing to be averaged, or there are more or fewer weights.
    """
    own = run_of(handle)
    found = list(_runs(handle, own, runs) if runs else _checkpoints(own, last, steps))
    if weights and len(weights) != len(found):
        names = ", ".join(name for name, _ in found)
        raise TunesmithError(
            f"exporter.average.weights has {len(weights)} numbers, for {len(found)} that are averaged.\n  {names}"
        )
    return [Member(*pair, weight) for pair, weight in zip(found, weights or [1.0] * len(found), strict=True)]


def announce_members(handle: ModelHandle, members: Sequence[Member], of_runs: bool) -> None:
    """Say what is averaged, once it is known that it fits."""
    whose = "runs" if of_runs else f"of {run_of(handle)}"
    announce("averaged", ", ".join(member.name for member in members), f"{len(members)} {whose}")


def run_of(handle: ModelHandle) -> Path:
    """The folder of the run that a handle is of."""
    return handle.adapter or handle.source.path


def _runs(handle: ModelHandle, own: Path, runs: Sequence[str]) -> Iterator[tuple[str, Path]]:
    yield str(own), own
    for address in runs:
        folder = handle.source.fetch(address) if handle.source.fetch else Path(address).expanduser()
        wanted = CONFIG if handle.adapter else "config.json"
        if not (folder / wanted).is_file():
            what = "trained adapter" if handle.adapter else "whole model"
            raise TunesmithError(f"exporter.average.runs: {address} holds no {what} (no {wanted}).\n  {own} is one")
        yield address, folder


def _checkpoints(run: Path, last: int | None, steps: Sequence[int]) -> Iterator[tuple[str, Path]]:
    """The whole checkpoints of a run, or those that were asked for, oldest first."""
    whole = {steps_of(folder): folder for folder in checkpoints_of(run) if _is_whole(folder)}
    names = [folder.name for folder in whole.values()]
    if not whole:
        raise TunesmithError(
            f"{run} has no whole checkpoint to be averaged.\n"
            "  exporter.average.runs=[RUN] averages it with other runs; trainer.save_steps and\n"
            "  trainer.save_total_limit say how many checkpoints a training keeps"
        )
    for step in steps:
        if step not in whole:
            near = choices(f"checkpoint-{step}", names, "there is")
            raise TunesmithError(f"exporter.average.steps: {run} has no whole checkpoint after {step} steps.\n  {near}")
    chosen = [whole[step] for step in steps] if steps else list(whole.values())[-last if last else 0 :]
    if last and last > len(chosen):
        logger.warning("exporter.average.last=%d: there are %d checkpoints: %s", last, len(chosen), ", ".join(names))
    yield from ((folder.name, folder) for folder in chosen)


def _is_whole(folder: Path) -> bool:
    found = "; ".join(damages(folder, MARKER)) if (folder / MARKER).is_file() else f"it has no {MARKER}"
    if found:
        logger.warning("%s is left out: %s", folder, found)
    return not found


def refuse_unlike(handle: ModelHandle, members: Sequence[Member]) -> None:
    """Raises: TunesmithError when bases, configurations or tensors of the members are not alike, with all of it."""
    first, *others = members
    problems = [problem for other in others for problem in _unlike(handle, first, other)]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        advice = "" if handle.adapter is None else "exporter.average.method=cat or svd adds adapters of other ranks"
        if handle.adapter is not None:
            advice = of_one_base(first, members) or advice
        raise TunesmithError(f"what is to be averaged does not fit.\n{listed}" + (f"\n  {advice}" if advice else ""))


def _unlike(handle: ModelHandle, first: Member, other: Member) -> Iterator[str]:
    if handle.adapter is not None:
        yield from other_base(first, other)
        one, two = (_meaning(member) for member in (first, other))
        for key in one.keys() | two.keys():
            if one.get(key) != two.get(key):
                yield f"{key} is {one.get(key)!r} in {first.name}, and {two.get(key)!r} in {other.name}"
    yield from _other_tensors(tensors_in(first, handle), tensors_in(other, handle), first.name, other.name)


def tensors_in(member: Member, handle: ModelHandle) -> Mapping[str, Stored]:
    """The tensors that are averaged, of an adapter or of a whole model."""
    found = tensors_of(member.folder)
    if handle.adapter is None:
        return found
    return {name: stored for name, stored in found.items() if stored.file.name == WEIGHTS}


def _other_tensors(one: Mapping[str, Stored], two: Mapping[str, Stored], name: str, other: str) -> Iterator[str]:
    for here, there, holds, lacks in ((one, two, name, other), (two, one, other, name)):
        lost = sorted(here.keys() - there.keys())
        if lost:
            more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
            yield f"{', '.join(lost[:_SHOWN])}{more}: in {holds}, and not in {lacks}"
    shapes = [key for key in one if key in two and one[key].shape != two[key].shape]
    if shapes:
        key = shapes[0]
        found = f"{one[key].shape} in {name}, and {two[key].shape} in {other}"
        yield f"{len(shapes)} tensors have other shapes, such as {key}: {found}"


def other_base(first: Member, other: Member) -> Iterator[str]:
    """The problem of two adapters whose bases are not the same, as far as their configurations say."""
    one, two = (base_of(member.folder) for member in (first, other))
    if one != two:
        yield f"{first.name} was trained over {one}, and {other.name} over {two}"


def of_one_base(first: Member, members: Sequence[Member]) -> str:
    """What to do where some adapters stand over another base than the first; "" where none does."""
    strange = [member.name for member in members if any(other_base(first, member))]
    return f"leave out {', '.join(strange)}: adapters are added only over one base" if strange else ""


def base_of(folder: Path) -> str:
    """The base of an adapter as its run called it, a local folder by its place."""
    record = folder / "run.yaml"
    said = read_yaml(record)[0] if record.is_file() else {}
    named = ((said or {}).get("model") or {}).get("path") or read_json(folder / CONFIG).get("base_model_name_or_path")
    place = Path(str(named)).expanduser()
    return str(place.resolve()) if place.is_dir() else str(named)


def _meaning(member: Member) -> dict[str, Any]:
    """What of an adapter's configuration its weights depend on; lists of names in one order."""
    said = read_json(member.folder / CONFIG)
    kept = {key: value for key, value in said.items() if key not in _MEANS_NOTHING and value not in (None, [], {})}
    return {key: sorted(map(str, value)) if isinstance(value, list) else value for key, value in kept.items()}
