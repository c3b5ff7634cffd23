"""The export: an adapter or a model that is the mean of several, with the record of the run that it is of."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tunesmith import TunesmithError
from tunesmith.files import replacing
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_configuration.ownership import is_strange, remember
from tunesmith_library_proving.gate import skipped
from tunesmith_library_publishing.adapters import publish
from tunesmith_library_publishing.cards import Kind, write_card
from tunesmith_library_publishing.endings import set_template
from tunesmith_library_publishing.inventory import read_json
from tunesmith_library_publishing.whole import save_whole

from .apart import distance
from .averaging import averaged
from .combining import RESULT, combine, fill, refuse_uncombinable
from .members import CONFIG, WEIGHTS, Member, announce_members, members_of, refuse_unlike, run_of, tensors_in
from .proof import Proof

_RECORDS = ("run.yaml", "plugins.lock")
_FAR = 0.01  # share of what adapters do that a mean of their matrices may miss unsaid
_MEANS = ("ties", "dare_ties")  # that divide by the number of the values that they add up


@dataclass(frozen=True)
class Wanted:
    """What is averaged, and how."""

    runs: tuple[str, ...] = ()
    last: int | None = None
    steps: tuple[int, ...] = ()
    method: str = "average"
    weights: tuple[float, ...] = ()
    density: float = 0.5
    sign: str = "total"
    rank: int | None = None
    verify: bool = True


def export_average(handle: ModelHandle, output_dir: Path, wanted: Wanted) -> None:
    """Average, write, and compare what was written with what was computed.

    Raises: TunesmithError when there is nothing to be averaged, or the parts do not fit each other.
    """
    if handle.adapter is None and wanted.method != "average":
        raise TunesmithError(
            f"exporter.average.method={wanted.method} merges LoRA adapters, and {run_of(handle)} is a whole model.\n"
            "  exporter.average.method=average"
        )
    members = members_of(handle, wanted.runs, wanted.last, wanted.steps, wanted.weights)
    if wanted.method == "average":
        refuse_unlike(handle, members)
    else:
        refuse_uncombinable(members, wanted.method)
    announce_members(handle, members, bool(wanted.runs))
    proof = Proof(handle, wanted.method, members) if wanted.verify else None
    if proof is None:
        skipped("average")
    if handle.adapter is not None and wanted.method == "average":
        _warn_of_distance(handle, members, proof)
    with replacing(output_dir) as draft:
        draft.mkdir()
        model = (_whole if handle.adapter is None else _adapter)(handle, members, wanted, draft)
        _record(handle, draft)
        if proof is not None:
            proof.written(model, draft)
        write_card(handle, draft, Kind("transformers" if handle.adapter is None else "peft", "merge"))
    record = output_dir / _RECORDS[0]
    if record.is_file() and not is_strange(run_of(handle) / _RECORDS[0]):
        remember(record)


def _warn_of_distance(handle: ModelHandle, members: list[Member], proof: Proof | None) -> None:
    """Say how far the mean of the adapters' matrices is from the mean of what they do, where that is far."""
    weights = [member.weight for member in members]
    apart = distance([tensors_in(member, handle) for member in members], weights)
    if apart is None:
        return
    if proof is not None:
        proof.of_matrices(apart)
    if apart > _FAR:
        logger.warning(
            "exporter.average.method=average takes the mean of the adapters' matrices A and B, which is %.0f%% off the "
            "mean of what they do (B A): their trainings began apart.\n  exporter.average.method=cat gives that mean "
            "exactly, svd in one rank%s",
            100 * apart,
            "" if sum(weights) in (1.0, len(weights)) else ", with weights that sum to 1",
        )


def _adapter(handle: ModelHandle, members: list[Member], wanted: Wanted, draft: Path) -> Any:
    """Write one adapter of several, and give the model with it."""
    _refuse_other_starts(handle, members)
    model = handle.load()
    if wanted.method == "average":
        tensors = averaged([tensors_in(member, handle) for member in members], [each.weight for each in members])
        save_file(tensors, draft / WEIGHTS, {"format": "pt"})
        shutil.copyfile(members[0].folder / CONFIG, draft / CONFIG)
        fill(model, draft)
    else:
        combine(model, members, wanted.method, _shares(members, wanted), _how(wanted), handle.source.seed)
        with tempfile.TemporaryDirectory(dir=draft.parent) as workshop:
            model.save_pretrained(workshop, selected_adapters=[RESULT])
            for file in (Path(workshop) / RESULT).iterdir():
                shutil.move(file, draft / file.name)
    publish(model, draft)
    _name_base(members[0].folder, draft)
    for file in run_of(handle).glob("*.safetensors"):  # what belongs to an adapter beside its weights
        if file.name != WEIGHTS:
            shutil.copyfile(file, draft / file.name)
    set_template(handle.processor, handle.template)
    handle.processor.save_pretrained(draft)
    return model


def _shares(members: list[Member], wanted: Wanted) -> list[float]:
    """The weights as peft takes them."""
    if wanted.weights or wanted.method.removesuffix("_svd") in _MEANS:
        return [member.weight for member in members]
    return [1 / len(members)] * len(members)


def _how(wanted: Wanted) -> dict[str, Any]:
    return {"density": wanted.density, "majority_sign_method": wanted.sign, "svd_rank": wanted.rank}


def _name_base(source: Path, draft: Path) -> None:
    """Let an adapter name its base as the first of those that it was made of does."""
    named = {key: read_json(source / CONFIG).get(key) for key in ("base_model_name_or_path", "revision")}
    config = read_json(draft / CONFIG) | named | {"inference_mode": True}
    (draft / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _refuse_other_starts(handle: ModelHandle, members: list[Member]) -> None:
    """Raises: TunesmithError when an adapter is only right together with a file beside it that others do not have."""
    own = run_of(handle)
    beside = {file.name: file.read_bytes() for file in own.glob("*.safetensors") if file.name != WEIGHTS}
    for member in members:
        if member.folder.parent == own:
            found = {
                key: read_json(folder / CONFIG).get("r") for key, folder in (("run", own), ("member", member.folder))
            }
            if found["run"] != found["member"]:
                raise TunesmithError(
                    f"{member.name} holds an adapter of rank {found['member']}, and the run's result one of rank "
                    f"{found['run']}: it was rewritten at the end of the training, and its checkpoints fit another "
                    "base.\n  exporter.average.runs takes results of runs"
                )
            continue
        others = {file.name: file.read_bytes() for file in member.folder.glob("*.safetensors") if file.name != WEIGHTS}
        if others != beside:
            name = next(iter(beside.keys() ^ others.keys() or beside.keys()))
            raise TunesmithError(
                f"{name} belongs to an adapter that was started over few bits, and is not the same in {own} and "
                f"{member.name}.\n  export each of them first: exporter=merged"
            )


def _whole(handle: ModelHandle, members: list[Member], wanted: Wanted, draft: Path) -> Any:
    """Write one model of several, as the run's result is written, and give it."""
    kind: Any = type(handle.load())
    tensors = averaged([tensors_in(member, handle) for member in members], [each.weight for each in members])
    with tempfile.TemporaryDirectory(dir=draft.parent) as workshop:
        shutil.copyfile(members[0].folder / "config.json", Path(workshop) / "config.json")
        save_file(tensors, Path(workshop) / "model.safetensors", {"format": "pt"})
        del tensors
        model, found = kind.from_pretrained(workshop, dtype="auto", output_loading_info=True)
    if found["missing_keys"]:
        raise TunesmithError(f"{members[0].name} lacks weights of {kind.__name__}: {sorted(found['missing_keys'])[0]}")
    with torch.no_grad():
        save_whole(model, handle.processor, handle.template, handle.source.path, draft)
    return model.eval()


def _record(handle: ModelHandle, draft: Path) -> None:
    """The run's record, which says what else there is around its model: template, patches, data."""
    for name in _RECORDS:
        if (run_of(handle) / name).is_file():
            shutil.copyfile(run_of(handle) / name, draft / name)
