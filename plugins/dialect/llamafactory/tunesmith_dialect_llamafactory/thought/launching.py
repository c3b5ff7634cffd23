"""accelerate's file of how processes start, `accelerate launch --config_file FILE`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import ConfigError, choices
from tunesmith.keys import Key, Origin
from tunesmith.types import Note
from tunesmith_library_configuration import spreading
from tunesmith_library_configuration.reading import read_yaml

from tunesmith_dialect_llamafactory.draft import Draft

_OF_DEVICES = ("MULTI_GPU", "MULTI_CPU", "MULTI_NPU", "MULTI_XPU", "MULTI_MLU", "MULTI_SDAA", "MULTI_MUSA", "MULTI_HPU")
_ALONE = "NO"
_SPREAD = ("FSDP", "DEEPSPEED")
"""Ways to spread a model, each the business of a plugin of kind `parallel`."""
_ABSENT = ("MEGATRON_LM", "XLA", "TPU")
"""Ways for which there is no such plugin."""

_MEANINGLESS: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "compute_environment": (("LOCAL_MACHINE",), "processes start where the command is given."),
    "debug": ((False,), "it changes nothing that is trained."),
    "downcast_bf16": (("no", False), "it is about TPUs."),
    "enable_cpu_affinity": ((False,), "the system chooses the cores."),
    "main_training_function": (("main",), "there is one function that trains."),
    "rdzv_backend": (("static", "c10d"), "processes find together at parallel.master."),
    "same_network": ((True, False), "processes find together at parallel.master."),
    "tpu_env": (([],), "it is about TPUs."),
    "tpu_use_cluster": ((False,), "it is about TPUs."),
    "tpu_use_sudo": ((False,), "it is about TPUs."),
    "gpu_ids": (("all", None), "CUDA_VISIBLE_DEVICES=0,1 in the environment chooses the devices."),
    "dynamo_config": (({}, None), "trainer.torch_compile=true compiles the model."),
    "fsdp_config": (({}, None), "it belongs to distributed_type: FSDP."),
    "deepspeed_config": (({}, None), "it belongs to distributed_type: DEEPSPEED."),
    "megatron_lm_config": (({}, None), "it belongs to distributed_type: MEGATRON_LM."),
    "main_process_ip": ((None,), "it belongs to num_machines."),
    "main_process_port": ((None,), "it belongs to num_machines."),
    "machine_rank": ((0,), "it belongs to num_machines."),
}
"""Keys that are no option here: the values that ask for what is done anyway, and why others mean nothing."""

_TYPE = "distributed_type"
_READ = (_TYPE, "num_processes", "num_machines", "mixed_precision", "use_cpu")
_OF_KINDS = ("fsdp_config", "deepspeed_config", "megatron_lm_config")
_OF_MACHINES = ("machine_rank", "main_process_ip", "main_process_port")


@dataclass
class _File:
    """accelerate's file while it is read; what is said of a key names its line."""

    values: Mapping[str, Any]
    origins: Mapping[Key, Origin]
    name: str  # of the foreign key that names the file
    draft: Draft

    def put(self, ours: str, value: Any, key: str) -> None:
        self.draft.put(ours, value, "")
        self.draft.places[ours] = self.origins[Key(*key.split("."))]

    def refuse(self, key: str, reason: str, advice: str) -> None:
        place = self.origins.get(Key(*key.split(".")), "")
        self.draft.notes.append(Note(f"{self.name}.{key}", "refused", f"{reason} ({place})", advice))

    def drop(self, key: str, reason: str) -> None:
        self.draft.notes.append(
            Note(f"{self.name}.{key}", "dropped", f"{reason} ({self.origins[Key(*key.split('.'))]})")
        )


def config_file(key: str, value: Any, draft: Draft) -> None:
    path = Path(str(value)).expanduser()
    if draft.command != "train":
        draft.note(key, "dropped", "one process answers.")
    elif not path.is_file():
        beside = [file.name for file in path.parent.glob("*.y*ml")]
        draft.refuse(key, "there is no such file.", choices(path.name, beside) if beside else "")
    else:
        try:
            file = _File(*read_yaml(path), key, draft)
        except ConfigError as error:
            draft.refuse(key, "it cannot be read.", str(error))
        else:
            _read(file)


def _read(file: _File) -> None:
    taken = {*_READ, *(_processes(file) if _TYPE in file.values else ())}
    for name, said in file.values.items():
        if name == "mixed_precision":
            _precision(said, file)
        elif name == "use_cpu" and said:
            file.put("trainer.use_cpu", True, name)
        elif name not in taken:
            _meaningless(name, said, file)


def _processes(file: _File) -> tuple[str, ...]:
    """How many processes start, and where; gives the keys that it has read."""
    kind = _ALONE if file.values[_TYPE] is False else str(file.values[_TYPE])  # what YAML 1.1 makes of NO
    count, machines = (file.values.get(key) or 1 for key in ("num_processes", "num_machines"))
    whole = all(isinstance(number, int) and number > 0 for number in (count, machines))
    if kind in _ABSENT:
        file.refuse(_TYPE, f"{kind} is not there.", "distributed_type: FSDP, DEEPSPEED or MULTI_GPU")
        return (*_OF_KINDS, *_OF_MACHINES)
    if kind not in (*_OF_DEVICES, *_SPREAD, _ALONE):
        known = (_ALONE, *_OF_DEVICES, *_SPREAD)
        file.refuse(_TYPE, f"{kind} is no way to start processes.", choices(kind, known))
    elif not whole or count % machines:
        reason = f"{count} processes are not the same number on each of {machines} machines."
        file.refuse("num_processes", reason, "num_processes is that of all machines together")
    elif kind != _ALONE:
        if kind in _SPREAD:
            _spread(kind, machines, file)
        else:
            file.put("parallel.name", "ddp", _TYPE)
        file.put("parallel.processes", count // machines, "num_processes" if "num_processes" in file.values else _TYPE)
        if kind == "MULTI_CPU":
            file.put("trainer.use_cpu", True, _TYPE)
        if machines > 1:
            _machines(machines, file)
        of_machines = _OF_MACHINES if machines > 1 else ()
        return (*of_machines, f"{kind.lower()}_config") if kind in _SPREAD else of_machines
    return ()


def _machines(count: int, file: _File) -> None:
    file.put("parallel.nodes", count, "num_machines")
    address, port = file.values.get("main_process_ip"), file.values.get("main_process_port")
    if "machine_rank" in file.values:
        file.put("parallel.node_rank", file.values["machine_rank"], "machine_rank")
    if address:
        file.put("parallel.master", f"{address}:{port or 29500}", "main_process_ip")


def _spread(kind: str, machines: int, file: _File) -> None:
    """What its own mapping says of it."""
    key = f"{kind.lower()}_config"
    given = file.values.get(key)
    config = given if isinstance(given, Mapping) else {}
    made = spreading.fsdp((), config, _TYPE, key, machines) if kind == "FSDP" else spreading.deepspeed(config, key)
    for ours, value in made.options.items():
        file.put(ours, value, made.sources[ours] if Key(*made.sources[ours].split(".")) in file.origins else _TYPE)
    for name, reason in made.dropped:
        file.drop(name, reason)
    for name, reason, advice in made.refused:
        file.refuse(name, reason, advice)


def _precision(said: Any, file: _File) -> None:
    """The run's own `bf16`, `fp16` and `pure_bf16` count over it, as there."""
    if said == "fp8":
        file.refuse("mixed_precision", "FP8 is a key of the run's file.", "fp8: true")
    elif said in ("bf16", "fp16") and not any(file.draft.get(key) for key in ("bf16", "fp16", "pure_bf16")):
        file.put("precision", said, "mixed_precision")
    elif said not in ("no", False, None, "bf16", "fp16"):
        file.refuse("mixed_precision", f"{said} is no precision.", choices(str(said), ("no", "bf16", "fp16")))


def _meaningless(name: str, said: Any, file: _File) -> None:
    if name not in _MEANINGLESS:
        file.refuse(name, "it is no key of accelerate's.", choices(name, (*_MEANINGLESS, *_READ)))
    elif said not in _MEANINGLESS[name][0]:
        file.drop(name, _MEANINGLESS[name][1])
