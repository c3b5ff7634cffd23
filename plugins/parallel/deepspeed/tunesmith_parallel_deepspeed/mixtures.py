"""Mixtures of experts under ZeRO-3: their weights come together at once, whichever experts a batch uses.

ZeRO-3 gathers the weights of a module when it runs. Processes whose batches use other experts would gather other
weights, and wait for each other for ever; a `leaf` module is gathered as a whole.
"""

from __future__ import annotations

from torch import nn
from tunesmith import announce
from tunesmith_library_weights.cut import shape_of


def mixtures_of(model: nn.Module) -> list[nn.Module]:
    """The outermost modules in which a router chooses among experts.

    Known by structure: a module of experts is a list of modules of one class that is called `experts`, or one module of
    that name whose weights have a dimension of experts; its parent, with the router, is the mixture.
    """
    found: dict[int, nn.Module] = {}
    inside: set[int] = set()
    for module in model.modules():
        if id(module) not in inside and any(_is_experts(name, child) for name, child in module.named_children()):
            found[id(module)] = module
            inside.update(id(part) for part in module.modules())
    return list(found.values())


def _is_experts(name: str, module: nn.Module) -> bool:
    """Whether a child is what a router chooses from: `experts`, `routed_experts`; not the ones that all tokens take."""
    if not name.endswith("experts") or name.startswith("shared"):
        return False
    if isinstance(module, nn.ModuleList):
        return len({type(part) for part in module}) == 1 and len(module) > 1
    return any(len(shape_of(weight)) == 3 for weight in module.parameters()) or any(
        isinstance(part, nn.ModuleList) for part in module.children()
    )


def mark_mixtures(model: nn.Module) -> None:
    """Have the mixtures of a model gathered as a whole, and say so."""
    from deepspeed.utils import set_z3_leaf_module

    found = mixtures_of(model)
    for module in found:
        set_z3_leaf_module(module, True)
    if found:
        names = sorted({type(module).__name__ for module in found})
        announce("mixtures of experts", f"{len(found)} {', '.join(names)}", "the experts of each are gathered together")
