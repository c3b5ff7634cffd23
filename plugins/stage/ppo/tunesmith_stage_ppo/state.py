"""Checkpoints of a run: the trained weights, the value head, the optimizers and the penalty."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_library_training import sharding, states

from tunesmith_stage_ppo.policy import Policy

WEIGHTS, VALUE_HEAD, STATE = "trained.safetensors", "value_head.safetensors", "state.json"
OPTIMIZERS, EARLIER_OPTIMIZERS = "optimizers.safetensors", "optimizers.pt"

Optimizers = Sequence[torch.optim.Optimizer]


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int
    kl_coef: float  # the penalty, as it was adapted
    scored: list[float] | None = None  # moments of the scores so far; None in checkpoints of earlier versions


@dataclass(frozen=True)
class Contents:
    """What a checkpoint is to hold; of a model that is spread over processes on the main one."""

    weights: Mapping[str, torch.Tensor]
    optimizers: list[Any]

    @classmethod
    def of(cls, policy: Policy, optimizers: Optimizers) -> Contents:
        """All processes call it: what is spread is gathered."""
        return cls(
            sharding.gathered(_trained(policy)),
            [sharding.gathered_nested(optimizer.state_dict()) for optimizer in optimizers],
        )


def save(folder: Path, contents: Contents, policy: Policy, progress: Progress) -> None:
    """Write a checkpoint's files into a folder."""
    save_file(_contiguous(contents.weights), folder / WEIGHTS)
    save_value_head(folder, policy)
    states.write(folder / OPTIMIZERS, contents.optimizers)
    (folder / STATE).write_text(json.dumps(asdict(progress)) + "\n")


def load(folder: Path, policy: Policy, optimizers: Optimizers) -> Progress:
    """Continue from a checkpoint.

    Raises: TunesmithError when other weights are trained than then.
    """
    trained, saved = _trained(policy), load_file(folder / WEIGHTS)
    if trained.keys() != saved.keys() or any(saved[name].shape != weight.shape for name, weight in trained.items()):
        raise TunesmithError(f"{folder} holds other trained weights than this run.\n  resume with the run's adapter")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(sharding.part_of(saved[name], weight))
    policy.head.load_state_dict(load_file(folder / VALUE_HEAD))
    for optimizer, state in zip(optimizers, _optimizer_states(folder), strict=True):
        asked = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
        own = [weight for group in optimizer.param_groups for weight in group["params"]]
        optimizer.load_state_dict(sharding.take_parts(state, own))
        for group, options in zip(optimizer.param_groups, asked, strict=True):
            group.update({name: options[name] for name in ("weight_decay", "betas", "eps") if name in options})
    return Progress(**json.loads((folder / STATE).read_text()))


def _optimizer_states(folder: Path) -> Any:
    """Their states; an earlier version's, written with pickle, by torch's restricted loader."""
    if (folder / OPTIMIZERS).is_file():
        return states.read(folder / OPTIMIZERS)
    return torch.load(folder / EARLIER_OPTIMIZERS, map_location="cpu", weights_only=True)


def save_value_head(folder: Path, policy: Policy) -> None:
    """Write the value head beside the model: `weight` (1, H) and `bias` (1,)."""
    save_file(_contiguous(policy.head.state_dict()), folder / VALUE_HEAD)


def _trained(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in policy.model.named_parameters() if weight.requires_grad}


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
