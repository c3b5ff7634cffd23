"""Layers that several processes compute together, each with a part of their weights, by transformers' own plans.

A plan says of which layers the rows are divided and of which the columns, so that each process computes some heads of
the attention and some neurons, and their sum is the layer's (Shoeybi et al. 2019, "Megatron-LM", arXiv 1909.08053).
Embeddings and the output head are in none of it: the loss is computed within the head. The processes that compute a
layer together see the same examples.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
import transformers
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate
from tunesmith import TunesmithError, announce
from tunesmith_library_training.head import unwrap

from tunesmith_parallel_fsdp.plans import general, refuse_transformers

_ADAPTED = {"colwise": "lora_B", "packed_colwise": "lora_B", "rowwise": "lora_A"}
"""Which matrix of a LoRA is divided as its layer is, by the rule; the other one stays whole."""

_WHOLE = ("colwise_gather_output", "colwise_rep", "rowwise_split_input", "rowwise_rep")
"""Rules by which a layer takes and gives whole numbers, so that a LoRA beside it needs no division."""

_SUMMED = "replicated_with_grad_allreduce"


def split(model: nn.Module, mesh: DeviceMesh, left: Collection[str] = ()) -> None:
    """Divide a model's layers over the processes of `mesh`, in place.

    Args:
        model: of transformers, in peft's LoRA or not; the same on all processes.
        mesh: of one dimension.
        left: general names of modules that are divided otherwise.

    Raises: TunesmithError when the model has no plan, or an adapter does not go with it.
    """
    base = unwrap(model)
    rules, styles = _rules(base), _styles()
    rules = {name: rule for name, rule in rules.items() if not any(f"{name}.".startswith(f"{each}.") for each in left)}
    if not rules:
        raise TunesmithError(
            f"parallel.tensor={mesh.size()}: transformers {transformers.__version__} has no tensor-parallel plan for "
            f"{type(base).__name__}.\n  parallel.tensor=1"
        )
    unknown = sorted({rule for rule in rules.values() if rule not in styles})
    if unknown:
        refuse_transformers(f"parallel.tensor={mesh.size()}", f"has no {unknown[0]} of {type(base).__name__}'s plan")
    applied = 0
    for path, module in [*base.named_modules()]:
        name, adapted = general(path), wraps_parameter(module)
        own = {} if adapted else {key: rules.get(general(f"{path}.{key}")) for key in module._parameters}
        rule = rules.get(name)
        if (rule or any(own.values())) and not adapted:
            _apply(base, module, path, rule, own, mesh, styles)
            applied += 1
    announce("layers", f"{applied} modules computed by {mesh.size()} processes together", "parallel.tensor")


def _rules(base: Any) -> dict[str, str]:
    """The plan of a model by the general names of its modules, without embeddings, head and adapted experts."""
    rules: dict[str, str] = dict(getattr(base, "tp_plan", None) or {})
    kept_whole = [base.get_input_embeddings(), base.get_output_embeddings()]
    for path, module in base.named_modules():
        name = general(path)
        if any(module is each for each in kept_whole):
            rules.pop(name, None)
        elif wraps_parameter(module) and name in rules:
            rules = {key: rule for key, rule in rules.items() if key != name and not key.startswith(f"{name}.")}
            announce("experts", "whole in each process that shares a layer", "an adapter changes their weights")
    return rules


def _styles() -> Mapping[str, Any]:
    """transformers' ways of dividing a module, by the rules of its plans.

    Raises: TunesmithError when the installed transformers has none for a model that is loaded already.
    """
    try:
        module = importlib.import_module("transformers.distributed.tensor_parallel")
    except ImportError:
        refuse_transformers("parallel.tensor", "divides no model that is loaded already")
    styles: Mapping[str, Any] = module.ALL_PARALLEL_STYLES
    return styles


def _apply(
    base: Any,
    module: Any,
    path: str,
    rule: str | None,
    own: Mapping[str, str | None],
    mesh: DeviceMesh,
    styles: Mapping[str, Any],
) -> None:
    """Divide one module: its own parameters, and what goes in and comes out of it."""
    if hasattr(module, "base_layer"):
        _apply_adapted(base, module, path, str(rule), mesh, styles)
        return
    if hasattr(module, "modules_to_save"):
        for part in (module.original_module, *module.modules_to_save.values()):
            _apply(base, part, path, rule, dict.fromkeys(part._parameters), mesh, styles)
        return
    if rule == _SUMMED:
        # Norms of heads, of which each process sees its own: within the backward pass, and not when a gradient is
        # complete as transformers does, for one that is accumulated would be added up again with each batch.
        module.forward = computing_with(module, partial(shared, mesh=mesh))
        return
    for key, parameter_rule in own.items():
        if parameter_rule or rule:
            style = styles[parameter_rule or str(rule)]
            _refuse_uneven(module, path, key, parameter_rule or str(rule), mesh)
            style.shard_param(module, key, mesh)
    if rule:
        if rule == "mla_kv_a_proj":  # which asks its module for a width
            module.config = base.config.get_text_config()
        styles[rule].install_forward(module, mesh)


def _apply_adapted(base: Any, layer: Any, path: str, rule: str, mesh: DeviceMesh, styles: Mapping[str, Any]) -> None:
    """Divide a layer with LoRA beside it: B as a layer whose outputs are divided, A as one whose inputs are.

    Raises: TunesmithError when there is another adapter beside it.
    """
    parts = [*getattr(layer, "lora_A", {}).values(), *getattr(layer, "lora_B", {}).values()]
    plain = parts and all(isinstance(part, nn.Linear) for part in parts) and not len(layer.lora_magnitude_vector)
    if not plain or (rule not in _ADAPTED and rule not in _WHOLE):
        raise TunesmithError(
            f"parallel.tensor={mesh.size()}: {path} is divided as {rule}, which the adapter beside it cannot follow.\n"
            f"  a plain LoRA can; or leave it out: adapter.exclude_modules=[{path.rpartition('.')[2]}]"
        )
    _apply(base, layer.base_layer, path, rule, dict.fromkeys(layer.base_layer._parameters), mesh, styles)
    for part in getattr(layer, _ADAPTED[rule]).values() if rule in _ADAPTED else ():
        _apply(base, part, path, rule, dict.fromkeys(part._parameters), mesh, styles)


def computing_with(module: Any, changed: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    """A module's forward with other tensors in the place of its own weights, `changed` at each pass."""
    own: Callable[..., Any] = module.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        held = dict(module._parameters)
        module._parameters.update({name: changed(weight) for name, weight in held.items() if weight is not None})
        try:
            return own(*arguments, **options)
        finally:
            module._parameters.update(held)

    return forward


def shared(weight: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
    """A weight that all processes have, with a gradient that each has a summand of."""
    replicated = DTensor.from_local(weight, mesh, [Replicate()], run_check=False)
    local: torch.Tensor = replicated.to_local(grad_placements=[Partial()])
    return local


def _refuse_uneven(module: Any, path: str, name: str, rule: str, mesh: DeviceMesh) -> None:
    """Raises: TunesmithError when a weight cannot be divided into equal parts."""
    weight = module._parameters[name]
    if weight is None or ("col" not in rule and "row" not in rule) or weight.ndim < 2:
        return
    size = weight.shape[-2 if rule.startswith(("colwise", "packed_colwise")) else -1]
    if size % mesh.size():
        raise TunesmithError(
            f"parallel.tensor={mesh.size()}: {path}.{name} {tuple(weight.shape)} is divided as {rule}, and {size} "
            f"cannot be divided by {mesh.size()}.\n  parallel.tensor=1, or a number that divides it"
        )


def wraps_parameter(module: Any) -> bool:
    """Whether a module is peft's adapter of a parameter, such as one of fused experts."""
    return hasattr(module, "parameter_name") and hasattr(module, "base_layer")


def outermost_wrappers(model: nn.Module) -> dict[int, Any]:
    """The outermost of peft's adapters of a module's parameters, by the id of the module.

    They change the parameters before the module runs, so that weights must have come together for them already.
    """
    found: dict[int, Any] = {}
    for module in model.modules():
        if wraps_parameter(module):
            inner: Any = module
            found.setdefault(id(inner.get_base_layer()), module)
    return found
