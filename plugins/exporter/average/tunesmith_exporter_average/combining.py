"""Several LoRA adapters as one, by peft's `add_weighted_adapter`, over the model that they were trained for.

TIES: Yadav et al. 2023 (arXiv 2306.01708). DARE: Yu et al. 2024 (arXiv 2311.03099).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith_library_adapting.adapters import quiet
from tunesmith_library_publishing.adapters import as_loaded, names_for
from tunesmith_library_publishing.inventory import read_json

from .members import CONFIG, WEIGHTS, Member, of_one_base, other_base

RESULT = "result"
"""The name of the adapter that comes out, in the model."""

_SAME_RANK = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")
_PREFIX = "base_model.model."


def put_beside(model: Any, folder: Path, name: str) -> None:
    """Put a saved adapter into a model of peft under a name, without making it the active one.

    Raises: as `fill`.
    """
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode, mapping = True, as_loaded(config, names_for(model))
    with quiet():
        model.add_adapter(name, config)
    _fill(model, folder, name, mapping)


def fill(model: Any, folder: Path) -> None:
    """Give the active adapter of a model of peft the weights of a saved one of the same form, all of them.

    Raises: TunesmithError when weights belong to no layer of the model, or layers get none.
    """
    config = PeftConfig.from_pretrained(str(folder))
    _fill(model, folder, model.active_adapter, as_loaded(config, names_for(model)))


def _fill(model: Any, folder: Path, name: str, mapping: Mapping[str, str]) -> None:
    weights = {_renamed(key, mapping): weight.float() for key, weight in load_file(folder / WEIGHTS).items()}
    with quiet():
        found: Any = set_peft_model_state_dict(model, weights, adapter_name=name)
    lost = [key for key in found.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
    if found.unexpected_keys or lost:
        key = (found.unexpected_keys or lost)[0]
        raise TunesmithError(f"{folder} does not fit the model: {key} {'is missing' if lost else 'is unknown'}")


def _renamed(key: str, mapping: Mapping[str, str]) -> str:
    rest = key.removeprefix(_PREFIX)
    for pattern, replacement in mapping.items():
        changed, count = re.subn(pattern, replacement, rest)
        if count:
            return _PREFIX + changed
    return key


def refuse_uncombinable(members: Sequence[Member], method: str) -> None:
    """Raises: TunesmithError when peft's methods cannot take these adapters together, with all that stands against."""
    first = members[0]
    problems = [problem for other in members[1:] for problem in other_base(first, other)]
    configs = {member.name: read_json(member.folder / CONFIG) for member in members}
    for name, config in configs.items():
        problems += [f"{name} {what}, which method={method} cannot take together" for what in _beyond_layers(config)]
    ranks = {name: _ranks(config) for name, config in configs.items()}
    if method in _SAME_RANK and len(set(ranks.values())) > 1:
        said = ", ".join(f"{rank} in {name}" for name, rank in ranks.items())
        problems.append(f"method={method} takes adapters of one rank, and the ranks are {said}")
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        advice = "exporter.average.method=cat or svd takes any ranks, method=average any adapters of one form"
        raise TunesmithError(
            f"what is to be averaged does not fit.\n{listed}\n  {of_one_base(first, members) or advice}"
        )


def _beyond_layers(config: Mapping[str, Any]) -> Iterator[str]:
    """What an adapter has beside a pair of matrices for each layer, in words."""
    if config.get("peft_type") != "LORA":
        yield f"is of type {config.get('peft_type')}"
    if config.get("use_dora"):
        yield "is DoRA"
    if config.get("modules_to_save"):
        yield f"has modules that are trained whole ({', '.join(config['modules_to_save'])})"
    if config.get("trainable_token_indices"):
        yield "has trained rows of embeddings"
    if config.get("bias", "none") != "none":
        yield "has trained biases"
    if config.get("target_parameters"):
        yield "is of fused experts"


def _ranks(config: Mapping[str, Any]) -> str:
    """The ranks of an adapter's layers, which may be several."""
    return "/".join(map(str, sorted({int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())})))


def combine(
    model: Any, members: Sequence[Member], method: str, weights: Sequence[float], how: Mapping[str, Any], seed: int
) -> None:
    """Make one adapter of several, the active one of the model, whose layers it scales by 1.

    Args:
        model: of peft, over the base of the members; changed in place.
        how: density, majority_sign_method and svd_rank, as peft has them.
        seed: of the values that DARE drops.

    Raises: TunesmithError when peft cannot.
    """
    names = [f"member_{at}" for at in range(len(members))]
    for name, member in zip(names, members, strict=True):
        put_beside(model, member.folder, name)
    try:
        with quiet(), _float32(model.base_model), torch.random.fork_rng():
            torch.manual_seed(seed)
            model.add_weighted_adapter(names, list(weights), RESULT, combination_type=method, **how)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TunesmithError(f"peft cannot merge these adapters by {method}: {error}") from error
    model.peft_config[RESULT].use_rslora = False  # the scales of the members are in the weights
    layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        if RESULT in layer.scaling:
            layer.scaling[RESULT] = 1.0
    model.set_adapter(RESULT)
    for name in names:
        model.delete_adapter(name)


@contextmanager
def _float32(tuner: Any) -> Iterator[None]:
    """Let the result be float32, as its members are: peft takes the numbers of the base's weights for it, and `cat`
    would be rounded to them."""
    inject = tuner.inject_adapter

    def widened(model: Any, name: str) -> None:
        inject(model, name)
        for key, parameter in model.named_parameters():
            if f".{name}." in f"{key}." and parameter.dtype in (torch.bfloat16, torch.float16):
                parameter.data = parameter.data.float()

    vars(tuner)["inject_adapter"] = widened
    try:
        yield
    finally:
        del vars(tuner)["inject_adapter"]
