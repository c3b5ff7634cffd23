"""Models that carry a state from token to token, as far as their config.json tells; free of torch.

Layers of linear attention, state spaces, recurrences and short convolutions go on from one sequence of a concatenated
batch to the next, unless the kernel that computes them is told where sequences begin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KINDS = re.compile(r"linear|mamba|ssm|conv|recurrent|hybrid|delta|rwkv|gru|lstm", re.IGNORECASE)
_LISTS = ("layer_types", "layers_block_type", "block_types", "_block_types")
_SIZES = ("mamba_d_state", "mamba_d_conv", "ssm_state_size", "state_size", "linear_conv_kernel_dim", "conv_L_cache")


def stateful_layers(config: Mapping[str, Any]) -> str | None:
    """What carries a state in a model, in words; None when its configuration names nothing that does.

    Args:
        config: what its config.json holds.
    """
    text = config.get("text_config") or config
    for name in _LISTS:
        kinds = text.get(name)
        if isinstance(kinds, list) and kinds:
            found = [kind for kind in map(str, kinds) if _KINDS.search(kind)]
            return f"{found[0]} in {len(found)} of {len(kinds)} layers" if found else None
    sizes = [name for name in _SIZES if text.get(name)]
    return f"{text.get('model_type')} with {sizes[0]}={text[sizes[0]]}" if sizes else None


def stateful_layers_of(folder: str) -> str | None:
    """The same of a model's folder; None where no config.json can be read, as for an address on a hub."""
    try:
        config = json.loads((Path(folder).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stateful_layers(config) if isinstance(config, dict) else None
