"""GPTQ over a whole model: the groups of layers of a decoder layer in the order in which they compute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tunesmith.types import Batch
from tunesmith_library_quantizing.calibration import Block
from tunesmith_library_quantizing.grid import Rounded
from tunesmith_library_quantizing.quantising import Quantised, Settings, gptq_config, kept, quantise

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
