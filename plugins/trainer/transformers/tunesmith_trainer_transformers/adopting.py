"""A checkpoint that another program's transformers Trainer wrote: what can be gone on with, and going on with it.

Free of torch but for `adopted`, for the plan is checked with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_training.envelope import Run

    from tunesmith_trainer_transformers import Transformers
    from tunesmith_trainer_transformers.loop import Loop

_KEY = "trainer.resume_from"
_STATE, _STATES = "trainer_state.json", ("optimizer.pt", "scheduler.pt")
# how torch computes an optimizer's step, which versions of it add and which changes no state
_SWITCHES = ("foreach", "fused", "capturable", "differentiable", "maximize", "decoupled_weight_decay", "initial_lr")
_ADAPTER, _MODEL = "adapter_config.json", "config.json"


def adopting_problems(options: Transformers, plan: Plan) -> list[Problem]:
    """What is not in a checkpoint that a run is to go on with, and what cannot go on with one."""
    if options.resume_from is None or plan.command != "train":
        return []
    folder = Path(options.resume_from).expanduser()
    missing = _missing(folder)
    problems = [Problem(_KEY, f"{_KEY}={folder}: {missing[0]}", missing[1])] if missing else []
    if options.fsdp or options.deepspeed:
        message = f"{_KEY} goes on with a whole model, and fsdp or deepspeed spreads it over processes."
        problems.append(Problem(_KEY, message, _alone(folder)))
    if hasattr(plan.plugin("stage") if plan.uses("stage") else None, "fit"):
        message = f"stage={plan.name('stage')} brings a training loop of its own, which does not read {_KEY}."
        problems.append(Problem(_KEY, message, _alone(folder)))
    return problems


def _missing(folder: Path) -> tuple[str, str] | None:
    """What a folder lacks of a Trainer's checkpoint, and what to do instead; None when all is there."""
    if not (folder / _STATE).is_file():
        inside = sorted(path.parent.name for path in folder.glob(f"checkpoint-*/{_STATE}"))
        beside = sorted(path.parent.name for path in folder.parent.glob(f"checkpoint-*/{_STATE}"))
        if inside:
            return f"there is no {_STATE} in it, but in its checkpoints.", f"{_KEY}={folder / inside[-1]}"
        return f"there is no {_STATE} in it.", choices(folder.name, beside, "checkpoints beside it") if beside else ""
    if not any((folder / name).is_file() for name in (_ADAPTER, _MODEL)):
        return "it holds neither an adapter nor a whole model.", "the folder of a checkpoint-N that a Trainer wrote"
    absent = [name for name in _STATES if not (folder / name).is_file()]
    if absent:
        return f"the state of its optimizer was not kept ({', '.join(absent)}).", _alone(folder)
    return None


def _alone(folder: Path) -> str:
    """How to train on the weights of a checkpoint alone."""
    key = "adapter.path" if (folder / _ADAPTER).is_file() else "model.path"
    return f"train on its weights alone: {key}={folder}"


def adopted(options: Transformers, run: Run, loop: Loop) -> str | None:
    """The checkpoint of another program that a run begins from; its state is read by the Trainer.

    Raises: TunesmithError, before anything is read, when its weights or the state of its optimizer are of another model
        or other trained weights, or its batches had another size.
    """
    if options.resume_from is None:
        return None
    folder = Path(options.resume_from).expanduser()
    said = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    step, size = said.get("global_step", 0), said.get("train_batch_size")
    if size and size != options.per_device_train_batch_size:
        raise TunesmithError(
            f"{_KEY}={folder}: its forward passes had {size} examples, and this run's have "
            f"{options.per_device_train_batch_size}.\n"
            f"  trainer.per_device_train_batch_size={size}, or {_alone(folder)}"
        )
    _refuse_other_weights(run.job.model, folder)
    _refuse_other_optimizer(loop, folder)
    run.resumed = folder
    announce(
        "resume", folder, f"weights, optimizer and schedule after {step} steps; the examples come in this run's order"
    )
    return str(folder)


def _refuse_other_weights(model: Any, folder: Path) -> None:
    from tunesmith_library_publishing.inventory import tensors_of

    whole = not (folder / _ADAPTER).is_file()
    if whole == hasattr(model, "peft_config"):
        here, there = ("an adapter", "a whole model") if whole else ("a whole model", "an adapter")
        raise TunesmithError(
            f"{_KEY}={folder}: it holds {there}, and this run trains {here}.\n"
            f"  choose the adapter that it was trained with, such as adapter={'full' if whole else 'lora'}"
        )
    found = {name: stored.shape for name, stored in tensors_of(folder).items()}
    own = {_saved_name(name): tuple(weight.shape) for name, weight in model.named_parameters() if weight.requires_grad}
    wrong = sorted(name for name in own if found.get(name) != own[name])
    wrong += [] if whole else sorted(name for name in found if name not in own)
    if wrong:
        told = f"{found.get(wrong[0], 'not there')}, and here {own.get(wrong[0], 'not there')}"
        raise TunesmithError(
            f"{_KEY}={folder}: {len(wrong)} of its weights are others than those that this run trains: {wrong[0]} is "
            f"{told}.\n  give the run the options that it was trained with, or {_alone(folder)}"
        )


def _saved_name(name: str) -> str:
    """The name under which peft saves a trained weight."""
    return name.replace(".modules_to_save.default.", ".").replace(".default.", ".")


def _refuse_other_optimizer(loop: Loop, folder: Path) -> None:
    """Raise where a checkpoint's optimizer held other weights, or in other groups: it would be read into wrong ones."""
    import torch

    try:
        kept = torch.load(folder / _STATES[0], map_location="cpu", weights_only=True, mmap=True)
        groups, states = kept["param_groups"], kept["state"]
        sizes = [[_size(states.get(number)) for number in group["params"]] for group in groups]
    except Exception as error:  # torch, pickle and zipfile have errors of their own
        cause = " ".join(str(error).split())[:200]
        raise TunesmithError(f"{folder / _STATES[0]} cannot be read: {cause}\n  {_alone(folder)}") from error
    optimizer = loop.create_optimizer()
    absent = {*optimizer.param_groups[0]} - {*groups[0], *_SWITCHES} if groups else set()
    if absent:
        raise TunesmithError(
            f"{_KEY}={folder}: its optimizer was no {type(optimizer).__name__}, for it has no "
            f"{', '.join(sorted(absent))}.\n  choose the optimizer that it was trained with, or {_alone(folder)}"
        )
    own = [[weight.numel() for weight in group["params"]] for group in optimizer.param_groups]
    fits = len(sizes) == len(own) and all(
        len(theirs) == len(ours) and all(size in (None, number) for size, number in zip(theirs, ours, strict=True))
        for theirs, ours in zip(sizes, own, strict=True)
    )
    if not fits:
        there, here = (" + ".join(str(len(group)) for group in every) or "no" for every in (sizes, own))
        raise TunesmithError(
            f"{_KEY}={folder}: its optimizer held {there} weights in groups, and this run's holds {here}, or they have "
            f"other sizes.\n  choose the optimizer that it was trained with, or {_alone(folder)}"
        )


def _size(state: Any) -> int | None:
    """How many numbers a weight has, by the mean of its gradient; None for one that an optimizer keeps nothing as large
    of."""
    mean = state.get("exp_avg") if isinstance(state, dict) else None
    return None if mean is None else int(mean.numel())
