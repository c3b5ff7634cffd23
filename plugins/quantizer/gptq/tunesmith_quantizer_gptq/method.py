"""GPTQ over a whole model: the groups of layers of a decoder layer in the order in which they compute."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.types import Batch

from .calibration import Block
from .grid import Rounded
from .quantising import Quantised, Settings, kept, quantise
from .solver import solve

if TYPE_CHECKING:
    from . import Gptq


def quantise_by_gptq(model: Any, batches: Iterator[Batch], options: Gptq) -> Quantised:
    """Each group of layers sees what the quantised layers before it give (the paper's `true_sequential`)."""
    settings = Settings(
        options.bits, options.group_size, options.sym, options.samples, options.sample_length, options.skip_modules
    )

    def method(block: Block) -> Iterator[tuple[str, Rounded]]:
        for linears in block.groups():
            (seen,) = block.statistics([linears])
            for name, layer in linears.items():
                yield (
                    name,
                    solve(
                        layer.weight.float(),
                        seen.hessian / seen.tokens,
                        bits=options.bits,
                        group_size=settings.group_of(layer),
                        sym=options.sym,
                        desc_act=options.desc_act,
                        damping=options.damping,
                    ),
                )

    config = gptq_config(settings, kept(model, options.skip_modules))
    config |= {"desc_act": options.desc_act, "damp_percent": options.damping, "true_sequential": True}
    return quantise(model, batches, settings, method, config)


def gptq_config(settings: Settings, left: list[str]) -> dict[str, Any]:
    """The `quantization_config` of a model in the GPTQ layout.

    Args:
        left: names of the layers that are not quantised; `dynamic` is how gptqmodel and vLLM are told.
    """
    config = {
        "quant_method": "gptq",
        "bits": settings.bits,
        "group_size": settings.group_size,
        "desc_act": False,
        "sym": settings.sym,
        "lm_head": False,
        "checkpoint_format": "gptq" if settings.sym else "gptq_v2",  # gptqmodel reads no other zero points in the first
        "pack_dtype": "int32",
    }
    return config | ({"dynamic": {f"-:^{re.escape(name)}$": {} for name in left}} if left else {})
