"""Where a model's transformer layers are, whatever its architecture calls them."""

from __future__ import annotations

from typing import Any

from torch import nn
from tunesmith import TunesmithError


def find_layers(model: Any) -> tuple[str, nn.ModuleList]:
    """Find the list of layers of a causal language model.

    It is the outermost `nn.ModuleList` of the decoder that is as long as the configuration says; the decoder of a
    model that also reads images is its language part.

    Returns: the list's dotted name in the model (`model.layers`, `transformer.h`, …), and the list.

    Raises: TunesmithError when there is none.
    """
    decoder, count = model.get_decoder(), model.config.get_text_config().num_hidden_layers
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList)]
    found = next((module for module in lists if len(module) == count), None)
    if found is None:
        lengths = ", ".join(str(len(module)) for module in lists) or "none"
        raise TunesmithError(
            f"the layers of this {type(model).__name__} are not found: its configuration says {count}.\n"
            f"  lists of modules in its {type(decoder).__name__} have lengths: {lengths}\n"
            "  adapter=full adapter.freeze='[…]' chooses by the names of parameters"
        )
    return next(name for name, module in model.named_modules() if module is found), found
