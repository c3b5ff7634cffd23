"""What is wrong with a plan that DeepSpeed is to train; free of torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import choices
from tunesmith.types import Problem

from .contradictions import contradictions
from .keys import unknown_keys
from .settings import OFFLOADS, TUNED, offloaded, stage_of, told, zero_of

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Deepspeed

_PARTS = "training_state/parts"  # of a checkpoint of parallel=fsdp with parallel.checkpoints=sharded


def problems(options: Deepspeed, plan: Plan) -> list[Problem]:
    """Everything that can be said before the data and the model are there."""
    unreadable = _file_problems(options.config)
    if unreadable:
        return unreadable
    return [
        *_installed(),
        *unknown_keys(options),
        *_stage(options),
        *contradictions(options, plan),
        *_offloading(options),
        *_beside(options, plan),
        *_going_on(plan),
        *(_beside_stage_3(plan) if stage_of(options) == 3 else ()),
    ]


def _file_problems(path: str | None) -> list[Problem]:
    """A file that is not there, or holds no configuration."""
    if path is None:
        return []
    file, key = Path(path).expanduser(), "parallel.config"
    if not file.is_file():
        beside = sorted(other.name for other in file.parent.glob("*.json")) if file.parent.is_dir() else []
        possible = choices(file.name, beside, f"JSON files in {file.parent}") if beside else ""
        return [Problem(key, f"{key}={path}: there is no such file.", possible or "give the path of a JSON file")]
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        return [Problem(key, f"{file}: it is no JSON: {error}.", "mend the file")]
    if not isinstance(read, dict):
        return [Problem(key, f"{file}: it holds no mapping.", '{"zero_optimization": {"stage": 2}, …}')]
    return []


def _installed() -> Iterator[Problem]:
    if importlib.util.find_spec("deepspeed") is None:
        yield Problem("parallel", "parallel=deepspeed needs the package deepspeed.", "pip install deepspeed")


def _stage(options: Deepspeed) -> Iterator[Problem]:
    """Options that mean nothing with a stage, and a stage that is none."""
    stage = zero_of(told(options)).get("stage", 0)
    if options.stage is None and stage not in (0, 1, 2, 3):
        yield Problem("parallel.config", f"{options.config}: there is no stage {stage}.", "possible: 0, 1, 2, 3")
        return
    if stage_of(options) == 3:
        return
    for name in (*(name for name in TUNED if name.startswith(("stage3", "sub_group", "zero_hpz"))),):
        if getattr(options, name) is not None:
            message = f"{name} means nothing with stage {stage_of(options)}."
            yield Problem(f"parallel.{name}", message, "parallel.stage=3, or leave it out", "warning")


def _offloading(options: Deepspeed) -> Iterator[Problem]:
    stage, devices = stage_of(options), {name: offloaded(options, name) for name in OFFLOADS}
    if devices["offload_optimizer"] != "none" and stage == 0:
        message = "offload_optimizer needs optimizer states that are shared, which stage 0 does not."
        yield Problem("parallel.offload_optimizer", message, "parallel.stage=2, or 1, 3")
    if devices["offload_param"] != "none" and stage < 3:
        message = f"offload_param needs weights that are shared, which stage {stage} does not."
        yield Problem("parallel.offload_param", message, "parallel.stage=3, or parallel.offload_param=none")
    if devices["offload_optimizer"] == "nvme" and 0 < stage < 3:
        message = f"DeepSpeed offloads to nvme with stage 3 only, and this is stage {stage}."
        yield Problem("parallel.offload_optimizer", message, "parallel.stage=3, or parallel.offload_optimizer=cpu")
    zero = zero_of(told(options))
    on_nvme = [name for name in OFFLOADS if devices[name] == "nvme"]
    for name in on_nvme:
        there = options.nvme_path or (zero.get(name) or {}).get("nvme_path")
        if not there:
            message = f"{name}=nvme needs a folder on such a disk."
            yield Problem("parallel.nvme_path", message, "write parallel.nvme_path=/local_nvme")
        elif not Path(there).expanduser().is_dir():
            yield Problem("parallel.nvme_path", f"there is no folder {there}.", "make it, on each machine")
    if options.nvme_path is not None and not on_nvme:
        advice = "parallel.offload_optimizer=nvme, or leave it out"
        yield Problem("parallel.nvme_path", "nvme_path has no effect: nothing is offloaded to nvme.", advice, "warning")


def _beside(options: Deepspeed, plan: Plan) -> Iterator[Problem]:
    """What does not go with DeepSpeed, whatever the stage."""
    trainer = plan.traits("trainer")
    if trainer is not None and not trainer.training_arguments:
        message = f"trainer={plan.name('trainer')} does not train by transformers, whose DeepSpeed this is."
        yield Problem("trainer", message, "leave trainer out, or parallel=ddp")
    given = plan.get("trainer.deepspeed")
    if given:
        message = f"trainer.deepspeed={given} and parallel=deepspeed both say how DeepSpeed trains."
        yield Problem("trainer.deepspeed", message, f"trainer.deepspeed=null, and parallel.config={given}")
    if plan.get("trainer.fsdp"):
        message = "trainer.fsdp and parallel=deepspeed both spread the model."
        yield Problem("trainer.fsdp", message, "trainer.fsdp=null, or parallel=fsdp")


def _going_on(plan: Plan) -> Iterator[Problem]:
    if plan.resumed is not None and (plan.resumed / _PARTS).is_dir():
        message = f"{plan.resumed.name} is in parts, as parallel=fsdp wrote it, which DeepSpeed does not read."
        yield Problem("parallel", message, "go on with parallel=fsdp, or in one process without parallel")


def _beside_stage_3(plan: Plan) -> Iterator[Problem]:
    """What needs weights that a process has whole."""
    quantizer = plan.traits("quantizer")
    if quantizer is not None and "deepspeed" not in quantizer.spreads:
        message = f"ZeRO-3 cuts weights in pieces, and quantizer={plan.name('quantizer')} needs them whole."
        yield Problem("quantizer", message, "parallel.stage=2, or quantizer=null")
    yield from _adapters(plan)
    if plan.get("trainer.torch_compile"):
        message = "ZeRO-3 gathers the weights of each layer as it runs, which a compiled layer does not allow."
        yield Problem("trainer.torch_compile", message, "parallel.stage=2, or trainer.torch_compile=false")


def _adapters(plan: Plan) -> Iterator[Problem]:
    """Adapters that are made from the values of the base's weights."""
    traits = plan.traits("adapter")
    start = plan.get("adapter.init", True)
    if traits is not None and traits.beside and start not in (True, "gaussian"):
        message = f"adapter.init={start} reads the base's weights, which ZeRO-3 cuts in pieces as they are loaded."
        yield Problem("adapter.init", message, "adapter.init=true, or parallel.stage=2")
    for option in ("use_dora", "train_tokens"):
        if traits is not None and traits.beside and plan.get(f"adapter.{option}"):
            message = f"adapter.{option} reads the base's weights, which ZeRO-3 cuts in pieces as they are loaded."
            yield Problem(f"adapter.{option}", message, "leave it out, or parallel.stage=2")
