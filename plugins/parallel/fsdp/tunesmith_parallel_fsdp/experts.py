"""Experts of a mixture spread over processes: each keeps some of them whole, and is sent the tokens that they get.

Two exchanges per layer: the tokens to the processes of their experts, the results back (Lepikhin et al. 2020, "GShard",
arXiv 2006.16668, section 3.2), by transformers' own dispatch. Each process keeps examples of its own, and a gradient of
an expert is that of all tokens it got, whoever's they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor
from tunesmith import TunesmithError, announce
from tunesmith_library_training.head import unwrap
from tunesmith_library_weights.experts import fused_experts

from tunesmith_parallel_fsdp.plans import general, refuse_transformers
from tunesmith_parallel_fsdp.tensor import computing_with, shared, wraps_parameter

_RULES = {"ep_dispatch_experts", "grouped_gemm"}


@dataclass
class Divided:
    """What became of a model's experts."""

    names: set[str] = field(default_factory=set)  # general ones of all of them
    modules: list[nn.Module] = field(default_factory=list)  # to be spread over the copies of their experts
    kept: set[nn.Parameter] = field(default_factory=set)  # of frozen experts in adapters: nothing spreads them further


def divide(model: nn.Module, mesh: DeviceMesh, tensor: DeviceMesh) -> Divided:
    """Keep in each process of `mesh` its share of the experts, in place, and send it their tokens.

    Args:
        model: of transformers, in peft's LoRA or not; the same on all processes.
        mesh: of one dimension, the processes that share the experts.
        tensor: of one dimension, the processes that see the same examples; of one process where there are none.

    Raises: TunesmithError when the model has no experts, or none that can be sent tokens.
    """
    try:
        from transformers.distributed.expert_parallel import AllToAllEP
    except ImportError:
        refuse_transformers(f"parallel.experts={mesh.size()}", "sends no tokens to other processes; 5.21 does")
    base = unwrap(model)
    plan: dict[str, str] = dict(getattr(base, "ep_plan", None) or {})
    found = Divided()
    for path, outermost, experts in _blocks(base):
        unknown = {rule for name, rule in plan.items() if name.startswith(general(path))} - _RULES
        if plan.get(general(path)) != "ep_dispatch_experts" or unknown:
            raise TunesmithError(
                f"parallel.experts={mesh.size()}: transformers has no expert-parallel plan for {path} of "
                f"{type(base).__name__}.\n  leave parallel.experts out: the weights are spread all the same"
            )
        found.names.add(general(path))
        own = _keep_own(experts, path, mesh, whole=outermost is not experts)
        if outermost is experts:
            experts.forward = computing_with(experts, _local)
            found.modules.append(experts)
        else:
            found.kept |= own
            _slice_adapters(outermost, mesh, tensor)
        local: Any = SimpleNamespace(forward=outermost.forward, num_experts=experts.num_experts)
        _exchange(outermost, AllToAllEP(local, mesh, tensor))
    if not found.modules and not found.kept:
        raise TunesmithError(f"parallel.experts={mesh.size()}: {type(base).__name__} has no fused experts.")
    announce("experts", f"1 of {mesh.size()} parts of each layer's in each process", "parallel.experts")
    return found


def _blocks(base: nn.Module) -> Iterator[tuple[str, Any, Any]]:
    """The modules of fused experts: their names without adapters, the outermost wrapper around each, and each."""
    owners = {id(item.owner): item.owner for item in fused_experts(base)}
    wrappers: dict[int, tuple[str, Any]] = {}
    for path, module in base.named_modules():
        inner = module.get_base_layer() if wraps_parameter(module) else module
        if id(inner) in owners:
            wrappers.setdefault(id(inner), (path, module))
    yield from ((path, outermost, owners[key]) for key, (path, outermost) in wrappers.items())


def _keep_own(experts: Any, path: str, mesh: DeviceMesh, whole: bool) -> set[nn.Parameter]:
    """Replace the parameters by this process's experts: as parts of a distributed tensor, or `whole` as they are."""
    count = experts.num_experts
    if count % mesh.size():
        raise TunesmithError(f"parallel.experts={mesh.size()}: {count} experts of {path} cannot be shared equally.")
    experts.num_experts = count // mesh.size()
    rows = _rows(count, mesh)
    kept = set()
    for name, weight in [*experts._parameters.items()]:
        if weight is None:
            continue
        own: torch.Tensor = (
            weight.detach()[rows].clone()
            if whole
            else distribute_tensor(weight.detach(), mesh, [Shard(0)], src_data_rank=None)
        )
        experts._parameters[name] = nn.Parameter(own, requires_grad=weight.requires_grad)
        kept.add(experts._parameters[name])
    return kept


def _local(weight: Any) -> torch.Tensor:
    own: torch.Tensor = weight.to_local()
    return own


def _rows(count: int, mesh: DeviceMesh) -> slice:
    each = count // mesh.size()
    first = mesh.get_local_rank() * each
    return slice(first, first + each)


def _slice_adapters(outermost: Any, mesh: DeviceMesh, tensor: DeviceMesh) -> None:
    """Have the LoRA of fused experts, which all processes have whole, give what belongs to this one's experts.

    The gradients of the others' rows are zero here, so that the sum over all processes is right as it is.
    """
    wrapper = outermost
    while wraps_parameter(wrapper):
        wrapper.get_delta_factors = _own_factors(wrapper.get_delta_factors, _rows(wrapper.num_experts, mesh), tensor)
        wrapper = wrapper.base_layer


def _own_factors(factors: Callable[[str], Any], rows: slice, tensor: DeviceMesh) -> Callable[[str], Any]:
    def own(adapter: str) -> tuple[torch.Tensor, torch.Tensor, float]:
        left, right, scale = factors(adapter)
        if tensor.size() > 1:  # the processes that see the same examples have other experts each
            left, right = shared(left, tensor), shared(right, tensor)
        return left[rows], right[rows], scale

    return own


def _exchange(experts: Any, dispatch: Callable[..., torch.Tensor]) -> None:
    def forward(hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Hidden states (T, H) of this process's tokens, their experts (T, K) and their weights: (T, H)."""
        return dispatch(hidden, chosen, weights).to(hidden.dtype)

    experts.forward = forward
