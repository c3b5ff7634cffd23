"""GPTQ over a whole model: the groups of layers of a decoder layer in the order in which they compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tunesmith.types import Batch

from tunesmith_library_quantizing.calibration import Block
from tunesmith_library_quantizing.grid import Rounded
from tunesmith_library_quantizing.quantising import Quantised, Settings, gptq_config, kept, quantise
from tunesmith_library_quantizing.solver import solve


def quantise_by_gptq(
    model: Any, batches: Iterable[Batch], settings: Settings, *, desc_act: bool, damping: float
) -> Quantised:
    """Each group of layers sees what the quantised layers before it give (the paper's `true_sequential`)."""

    def method(block: Block) -> Iterator[tuple[str, Rounded]]:
        for linears in block.groups():
            (seen,) = block.statistics([linears])
            for name, layer in linears.items():
                yield (
                    name,
                    solve(
                        layer.weight.float(),
                        seen.hessian / seen.tokens,
                        bits=settings.bits,
                        group_size=settings.group_of(layer),
                        sym=settings.sym,
                        desc_act=desc_act,
                        damping=damping,
                    ),
                )

    config = gptq_config(settings, kept(model, settings.skip))
    config |= {"desc_act": desc_act, "damp_percent": damping, "true_sequential": True}
    return quantise(model, batches, settings, method, config)
