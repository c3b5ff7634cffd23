"""Ring attention: keys and values go round, and meet every query once (Liu et al. 2023, arXiv 2310.01889).

While one block is computed, the next is on its way. In the backward pass the gradients of keys and values go round
beside them, a step later, and come home.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from tunesmith_library_sequence.blocks import ON_CPU, TOGETHER, Attention, Block, Gradients, Rules, blocks
from tunesmith_library_sequence.exchanging import Sharers, pass_on
from tunesmith_library_sequence.pieces import Division


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sinks: torch.Tensor | None,
    division: Division,
    sharers: Sharers,
    rules: Rules,
) -> torch.Tensor:
    """Causal attention within each sequence, of this process's queries over all keys.

    Args:
        query: (heads, T, D), of this process's tokens; key (key heads, T, D) and value (key heads, T, Dv) too.
        sinks: (heads,): a score of each head without a value, or None.

    Returns: (heads, T, Dv).
    """
    output: torch.Tensor = _Ring.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        query, key, value, sinks, division, sharers, rules
    )
    return output


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        sinks: torch.Tensor | None,
        division: Division,
        sharers: Sharers,
        rules: Rules,
    ) -> torch.Tensor:
        attention = Attention(query, value.shape[-1], rules, sinks)
        some = [key, value]
        for step, source in enumerate(_order(sharers)):
            last = step == sharers.size - 1
            coming = None if last else pass_on(sharers, some, division.counts[_before(source, sharers)])
            attention.see(some[0], some[1], _blocks(query, division, sharers, source, rules))
            some = some if coming is None else coming.arrived()
        output, sums = attention.outcome()
        ctx.save_for_backward(query, key, value, sinks, output, sums)
        ctx.known = division, sharers, rules
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, sinks, output, sums = ctx.saved_tensors
        division, sharers, rules = ctx.known
        gradients = Gradients(query, rules, output, sums, outer)
        some, found, behind = [key, value], [], None
        for step, source in enumerate(_order(sharers)):
            last = step == sharers.size - 1
            before = division.counts[_before(source, sharers)]
            coming = None if last else pass_on(sharers, some, before)
            found = list(gradients.see(some[0], some[1], _blocks(query, division, sharers, source, rules)))
            if behind is not None:
                found = [own + others for own, others in zip(found, behind.arrived(), strict=True)]
            behind = None if sharers.size == 1 else pass_on(sharers, found, before)
            some = some if coming is None else coming.arrived()
        of_key, of_value = found if behind is None else behind.arrived()
        of_sinks = None if sinks is None else gradients.of_sinks(sinks)
        return (
            *(gradients.query.to(query.dtype), of_key.to(key.dtype), of_value.to(value.dtype), of_sinks),
            *(None, None, None),
        )


def _order(sharers: Sharers) -> list[int]:
    """The processes whose keys are here, step after step."""
    return [(sharers.rank - step) % sharers.size for step in range(sharers.size)]


def _before(source: int, sharers: Sharers) -> int:
    return (source - 1) % sharers.size


def _blocks(query: torch.Tensor, division: Division, sharers: Sharers, source: int, rules: Rules) -> list[Block]:
    together = ON_CPU if query.is_cpu else TOGETHER
    return list(blocks(division.parts[sharers.rank], division.parts[source], len(query), rules.window, together))
