"""A model whose adapter is switched off: where the switch is, and whether that is the model as it was before training.

Losses that compare a model with its beginning need no second one where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from tunesmith_library_weights.cut import is_cut


def adapted_model(model: Any) -> Any:
    """The model with an adapter that can be switched off within DDP and other wrappers; None when there is none."""
    while not hasattr(model, "disable_adapter"):
        if not hasattr(model, "module"):
            return None
        model = model.module
    return model


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch dropout layers off. Not `model.eval()`: some quantised layers repack their weights then."""
    layers = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Let a model compute as it will be used: without dropout, noise and checkpoints; then be as it was.

    Not `model.eval()`: some quantised layers repack their weights then, and what was switched off apart stays so.
    Weights that are trained are so afterwards, though others were chosen meanwhile.
    """
    training = [module for module in model.modules() if module.training]
    trained = [(weight, weight.requires_grad) for weight in model.parameters()]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for weight, requires_grad in trained:
            if weight.requires_grad != requires_grad:
                weight.requires_grad_(requires_grad)


def begins_as_base(model: Any) -> bool:
    """Whether a model about to be trained is, with its adapter switched off, the model as it is now, and stays so.

    Not so for one without adapter, for an adapter that was trained before, for starts that change the base (PiSSA), and
    where weights of the base (its biases) are trained too. The model itself is asked, on 16 tokens.
    """
    adapted = adapted_model(model)
    if adapted is None or _trains_base(adapted):
        return False
    weight = model.get_input_embeddings().weight
    if is_cut(weight):
        return _adds_nothing(adapted)
    tokens = (torch.arange(16, device=weight.device) * 7 + 11) % model.config.get_text_config().vocab_size
    # trained weights are float32 also over a base in bf16, which only autocast brings together
    half = torch.autocast(weight.device.type, torch.bfloat16, enabled=model.dtype == torch.bfloat16)
    with torch.no_grad(), half, without_dropout(model):
        found = []
        for switched in (nullcontext(), adapted.disable_adapter()):
            with switched:
                found.append(model(input_ids=tokens[None], use_cache=False).logits.float())
    switched_on, switched_off = found
    return torch.allclose(switched_on, switched_off, rtol=1e-3, atol=1e-3)


def _adds_nothing(adapted: Any) -> bool:
    """Whether an adapter's matrices multiply to zeros: a model that is cut in pieces gives no logits yet."""
    last = [weight for name, weight in adapted.named_parameters() if "lora_B" in name and weight.requires_grad]
    return bool(last) and not any(bool(weight.any()) for weight in last)


def _trains_base(adapted: Any) -> bool:
    """Whether some weights are trained that the adapter's switch does not reach."""
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    with adapted.disable_adapter():
        return any(parameter.requires_grad for parameter in trained)
