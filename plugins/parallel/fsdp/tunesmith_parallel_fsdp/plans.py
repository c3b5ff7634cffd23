"""What can be said of tensor and expert parallelism before a model is loaded: from the plan, and from its config.json.

Free of torch; `refuse_before_loading` imports transformers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tunesmith import TunesmithError
from tunesmith.planning import Plan
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith_parallel_fsdp import Fsdp

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_WIDTHS = ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size")


def general(name: str) -> str:
    """A module's name with `*` for the numbers of layers, as plans have it: `layers.*.mlp`."""
    return re.sub(r"\.\d+(?=\.|$)", ".*", name)


def problems(options: Fsdp, plan: Plan) -> list[Problem]:
    """What does not go with layers or experts that are divided over processes."""
    asked = {name: number for name in ("tensor", "experts") if (number := getattr(options, name)) > 1}
    found = [problem for name, number in asked.items() for problem in _beside(options, plan, name, number)]
    config = _config_of(plan.get("model.path")) if asked else {}
    if "tensor" in asked and config:
        found += _undividable(config, options.tensor)
    if "experts" in asked and config:
        found += _experts(config, options.experts)
    return found


def _beside(options: Fsdp, plan: Plan, name: str, number: int) -> list[Problem]:
    key = f"parallel.{name}"
    found = []
    count = plan.processes
    if count is not None and (count // options.replicas) % number:
        each = count // options.replicas
        message = f"{each} processes that share a model cannot be divided into groups of {number}."
        found.append(Problem(key, message, f"possible: {_listed(_divisors(each))}"))
    if plan.uses("quantizer"):
        message = f"{name}={number} divides whole weights, and quantizer={plan.name('quantizer')} packs them."
        found.append(Problem(key, message, f"leave the quantizer or parallel.{name} out"))
    adapter = plan.traits("adapter")
    if adapter is not None and adapter.beside and not adapter.low_rank:
        message = f"{name}={number} divides layers, and adapter={plan.name('adapter')} changes them as a whole."
        found.append(Problem(key, message, f"adapter=lora, adapter=full, or leave parallel.{name} out"))
    if name == "tensor" and plan.get("adapter.use_dora"):
        message = f"tensor={number} divides layers, and the norms of use_dora are those of whole ones."
        found.append(Problem(key, message, "adapter.use_dora=false, or leave parallel.tensor out"))
    stage = plan.traits("stage")
    if stage is not None and stage.generates:
        message = f"{name}={number} divides layers, and stage={plan.name('stage')} lets the whole model answer."
        found.append(Problem(key, message, f"leave parallel.{name} out"))
    if plan.get("parallel.sequence"):
        message = f"{name}={number} and sequence={plan.get('parallel.sequence')} both divide a batch's work."
        found.append(Problem(key, message, f"leave parallel.sequence or parallel.{name} out"))
    return found


def _undividable(config: Mapping[str, Any], tensor: int) -> list[Problem]:
    """Heads and widths that so many processes cannot share equally."""
    heads = config.get("num_attention_heads")
    counts = {"num_attention_heads": heads, "num_key_value_heads": config.get("num_key_value_heads") or heads}
    counts |= {name: config.get(name) for name in _WIDTHS}
    whole = {name: value for name, value in counts.items() if isinstance(value, int) and value > 0}
    uneven = [f"{name}={value}" for name, value in whole.items() if value % tensor]
    if not uneven:
        return []
    possible = _listed(_divisors(math.gcd(*whole.values())))
    message = f"{tensor} processes cannot share the model's {' and '.join(uneven)} equally."
    return [Problem("parallel.tensor", message, f"possible: {possible}")]


def _experts(config: Mapping[str, Any], experts: int) -> list[Problem]:
    count = next((config[name] for name in _EXPERTS if isinstance(config.get(name), int)), None)
    if not count:
        message = f"The model ({config.get('model_type')}) has no experts that processes could share."
        return [Problem("parallel.experts", message, "leave parallel.experts out")]
    if count % experts:
        message = f"{experts} processes cannot share {count} experts equally."
        return [Problem("parallel.experts", message, f"possible: {_listed(_divisors(count))}")]
    return []


def refuse_before_loading(options: Fsdp, folder: Path) -> None:
    """Look at the config of a model that is about to be loaded.

    Args:
        folder: of the model, with its config.json.

    Raises: TunesmithError when its layers or experts cannot be divided as asked, with what could, or the installed
        transformers cannot.
    """
    from transformers import AutoConfig

    if options.experts > 1 and find_spec("transformers.distributed.expert_parallel") is None:
        refuse_transformers(f"parallel.experts={options.experts}", "sends no tokens to other processes; 5.21 does")
    try:
        config: Any = AutoConfig.from_pretrained(folder).get_text_config()
    except (OSError, ValueError):  # code of its own; the loaded model is asked
        return
    rules = (config.base_model_tp_plan or {}).values()
    if options.tensor > 1 and all(rule.startswith("embedding") for rule in rules):  # those stay whole
        raise TunesmithError(
            f"parallel.tensor={options.tensor}: transformers has no tensor-parallel plan for {config.model_type}.\n"
            "  leave parallel.tensor out: the weights are spread over all processes all the same"
        )
    told = config.to_dict() | {name: getattr(config, name) for name in _EXPERTS if hasattr(config, name)}
    found = _undividable(told, options.tensor) if options.tensor > 1 else []
    found += _experts(told, options.experts) if options.experts > 1 else []
    if found:
        raise TunesmithError("\n".join(f"{each.key}: {each.message}\n  {each.advice}" for each in found))


def refuse_transformers(option: str, what: str) -> NoReturn:
    """Raises: TunesmithError that says which transformers has it."""
    import transformers

    raise TunesmithError(
        f"{option}: transformers {transformers.__version__} {what}.\n  pip install --upgrade transformers"
    )


def _config_of(path: object) -> dict[str, Any]:
    """What a model folder's config.json says of its text; {} where none can be read, as for an address on a hub."""
    config = _whole_config_of(path)
    text = config.get("text_config", config)
    return text if isinstance(text, dict) else {}


def _whole_config_of(path: object) -> dict[str, Any]:
    if not isinstance(path, str):
        return {}
    try:
        config = json.loads((Path(path).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def model_types(path: object) -> set[str]:
    """The `model_type` of a model folder and its parts; none where no config.json can be read."""
    config = _whole_config_of(path)
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    found = {part.get("model_type") for part in parts}
    return {kind for kind in found if isinstance(kind, str) and kind.isidentifier()}


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, min(number, 1024) + 1) if number % each == 0]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
