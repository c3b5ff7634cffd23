"""Checkpoints of a run: the trained weights, the value head, the optimizers and the penalty; whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith.files import replacing
from tunesmith_trainer_transformers import checkpoints

if TYPE_CHECKING:
    from tunesmith_stage_ppo.loop import Learner
    from tunesmith_stage_ppo.policy import Policy

WEIGHTS, VALUE_HEAD, OPTIMIZERS, STATE = "trained.safetensors", "value_head.safetensors", "optimizers.pt", "state.json"


def save(folder: Path, learner: Learner, step: int, facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint, and say that it is whole."""
    with replacing(folder) as draft:
        draft.mkdir()
        save_file(_contiguous(_trained(learner.policy)), draft / WEIGHTS)
        save_value_head(draft, learner.policy)
        torch.save([optimizer.state_dict() for optimizer in learner.optimizers], draft / OPTIMIZERS)
        (draft / STATE).write_text(json.dumps({"step": step, "kl_coef": learner.kl_coef}) + "\n")
        checkpoints.mark_complete(draft, facts)
    return folder


def load(folder: Path, learner: Learner) -> int:
    """Continue from a checkpoint; gives its step.

    Raises: TunesmithError when other weights are trained than then.
    """
    trained, saved = _trained(learner.policy), load_file(folder / WEIGHTS)
    if trained.keys() != saved.keys() or any(saved[name].shape != weight.shape for name, weight in trained.items()):
        raise TunesmithError(f"{folder} holds other trained weights than this run.\n  resume with the run's adapter")
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(saved[name])
    learner.policy.head.load_state_dict(load_file(folder / VALUE_HEAD))
    states = torch.load(folder / OPTIMIZERS, map_location="cpu", weights_only=True)
    for optimizer, state in zip(learner.optimizers, states, strict=True):
        optimizer.load_state_dict(state)
    known = json.loads((folder / STATE).read_text())
    learner.kl_coef = known["kl_coef"]
    return int(known["step"])


def save_value_head(folder: Path, policy: Policy) -> None:
    """Write the value head beside the model: `weight` (1, H) and `bias` (1,)."""
    save_file(_contiguous(policy.head.state_dict()), folder / VALUE_HEAD)


def _trained(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: weight for name, weight in policy.model.named_parameters() if weight.requires_grad}


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
