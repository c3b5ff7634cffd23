"""peft's LoRA on fused experts, whose parameters it wraps by name, packed ones too; and what an adapter reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft.tuners.lora.layer import ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.nn.utils import parametrize
from tunesmith_library_weights.forgetting import forgetting, mark_layers
from tunesmith_library_weights.shares import matrices, share

_BESIDE = ("lora_", "oft_", "modules_to_save", "token_adapter")  # where peft keeps what it trains


class OverPacked(ParamWrapper):
    """peft's wrapper of one parameter, where that may be packed.

    For the time of a forward pass peft registers what its matrices add as one more parametrization. Of a parameter that
    is parametrized already it reads the value meanwhile, which torch's cache then keeps without the sum where wrappers
    are nested, and does not find its own again to take it off (peft 0.21). Here the sum is appended without a look.
    """

    def get_param(self) -> Any:
        """The parameter, or the numbers that its few bits stand for; never with what adapters add."""
        if not is_packed(self):
            return super().get_param()  # type: ignore[no-untyped-call]  # peft does not annotate it
        chain: Any = self._chain()
        return chain[0](chain.original)

    @contextmanager
    def _activate_lora(self, active_adapters: list[str]) -> Iterator[None]:
        if not is_packed(self):
            innermost = self.base_layer is self.get_base_layer()  # all that is upon the parameters is there by now
            with super()._activate_lora(active_adapters), forgetting(self.base_layer) if innermost else nullcontext():
                yield
            return
        chain, before = self._chain(), len(self._chain())
        held = self.get_param()  # the same numbers for all who ask, until the pass is over
        for adapter in active_adapters:
            if adapter in self.lora_A:
                chain.append(_Sum(*self.get_delta_factors(adapter)))  # type: ignore[no-untyped-call]
        try:
            with parametrize.cached():
                yield
        finally:
            del chain[before:], held

    def _chain(self) -> Any:
        base: Any = self.get_base_layer()
        return base.parametrizations[self.parameter_name]


class _Sum(nn.Module):
    """W + s L R, of every expert."""

    def __init__(self, left: Tensor, right: Tensor, scale: float) -> None:
        super().__init__()
        self.left, self.right, self.scale = left, right, scale

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # which would change the parameter's numbers
            return torch.baddbmm(weight, self.left, self.right, alpha=self.scale)


def over_packed(model: Any) -> Any:
    """Make every wrapper of a parameter in a peft model one that packed parameters can be beneath."""
    wrappers = [module for module in model.modules() if type(module) is ParamWrapper]
    for wrapper in wrappers:
        wrapper.__class__ = OverPacked
    if wrappers:
        mark_layers(model)
    return model


def is_packed(wrapper: ParamWrapper) -> bool:
    """Whether the wrapped parameter is held in few bits."""
    return parametrize.is_parametrized(wrapper.get_base_layer(), wrapper.parameter_name)


def adapted_share(model: Any) -> tuple[str, str]:
    """What share of the base's matrices a peft model's adapter is beside, or trains whole, and where the rest is."""
    layers = {name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    counts, reached = {}, set()
    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer | ModulesToSaveWrapper):
            path = _in_base(name)
            reached.add(f"{path}.{module.parameter_name}" if isinstance(module, ParamWrapper) else path)
    for name, count in matrices(model).items():
        if name not in layers and not any(part.startswith(_BESIDE) for part in name.split(".")):
            counts[_in_base(name)] = count
    inside = tuple(f"{name}." for name in reached)
    return share(counts, {name for name in counts if name in reached or name.startswith(inside)})


def _in_base(name: str) -> str:
    """A dotted name of the peft model as it is in the base."""
    parts = name.removeprefix("base_model.model.").split(".")
    return ".".join(part for part in parts if part not in ("base_layer", "original_module"))
