"""The reference that a preference is measured against: the model as it was before training.

With an adapter that is the model itself with the adapter switched off, at no cost in memory; otherwise a second model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from tunesmith import TunesmithError


@dataclass(frozen=True)
class Reference:
    """A frozen model, or with None the trained model without its adapter."""

    model: Any

    @contextmanager
    def instead_of(self, trained: Any) -> Iterator[Any]:
        """Give the reference for the time of the block, without gradients and dropout.

        Raises: TunesmithError when there is neither a second model nor an adapter to switch off.
        """
        import torch

        with torch.no_grad():
            if self.model is not None:
                yield self.model
                return
            adapted = adapted_model(trained)
            if adapted is None:
                raise TunesmithError(
                    f"{type(trained).__name__} has no adapter to switch off, and no reference model was loaded.\n"
                    "  name one with stage.reference=MODEL"
                )
            with adapted.disable_adapter(), without_dropout(adapted):
                yield trained


def adapted_model(model: Any) -> Any:
    """The model with an adapter that can be switched off within DDP and other wrappers; None when there is none."""
    while not hasattr(model, "disable_adapter"):
        if not hasattr(model, "module"):
            return None
        model = model.module
    return model


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """Switch dropout layers off. Not `model.eval()`: some quantised layers repack their weights then."""
    from torch import nn

    layers = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


def use_numbers_of(trained: Any, reference: Any) -> None:
    """Keep the reference's weights in the numbers of the trained model's.

    Full training holds float32: beside a bfloat16 reference, rounding alone would look like a preference.
    """
    here, there = (model.get_input_embeddings().weight.dtype for model in (reference, trained))
    if here != there:
        for parameter in reference.parameters():
            if parameter.dtype == here:
                parameter.data = parameter.data.to(there)


def begins_as_its_base(model: Any) -> bool:
    """Whether a model about to be trained computes the same with its adapter switched off; asked of the model itself.

    Not so for one without adapter, for an adapter that was trained before, and for starts that change the base (PiSSA).
    """
    import torch

    adapted = adapted_model(model)
    if adapted is None:
        return False
    weight = model.get_input_embeddings().weight
    tokens = (torch.arange(16, device=weight.device) * 7 + 11) % model.config.get_text_config().vocab_size
    # trained weights are float32 also over a base in bf16, which only autocast brings together
    half = torch.autocast(weight.device.type, torch.bfloat16, enabled=model.dtype == torch.bfloat16)
    with torch.no_grad(), half, without_dropout(model):
        found = []
        for switched in (nullcontext(), adapted.disable_adapter()):
            with switched:
                found.append(model(input_ids=tokens[None], use_cache=False).logits.float())
    return torch.allclose(*found, rtol=1e-3, atol=1e-3)
