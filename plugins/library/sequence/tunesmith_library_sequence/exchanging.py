"""What processes that share a sequence send to each other, as steps that gradients pass back through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Sharers:
    """The processes that share a sequence; alone when there is no group."""

    group: Any = None  # torch's
    size: int = 1
    rank: int = 0  # of this one among them

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the processes, on each. Its gradient goes to each one's own values: each computes the same loss
        of the sum, and the gradients of weights are added up over processes later."""
        if self.size == 1:
            return values
        summed: torch.Tensor = _Total.apply(values, self.group)  # type: ignore[no-untyped-call]  # torch's
        return summed

    def to_heads(self, parts: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """From some tokens of all heads to all tokens of some heads.

        Args:
            parts: (own tokens, processes, n), the second dimension for whom.
            counts: tokens of each process.

        Returns: (all tokens, n), those of the first process first.
        """
        found: torch.Tensor = _ToHeads.apply(parts, self, tuple(counts))  # type: ignore[no-untyped-call]  # torch's
        return found

    def to_tokens(self, values: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
        """The way back: (all tokens, n) to (own tokens, processes, n)."""
        found: torch.Tensor = _ToTokens.apply(values, self, tuple(counts))  # type: ignore[no-untyped-call]  # torch's
        return found


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, group: Any) -> torch.Tensor:
        summed = values.detach().clone()
        dist.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        return outer, None


class _ToHeads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: torch.Tensor, sharers: Sharers, counts: tuple[int, ...]) -> torch.Tensor:
        ctx.sharers, ctx.counts = sharers, counts
        return _to_heads(parts, sharers, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _to_tokens(outer, ctx.sharers, ctx.counts), None, None


class _ToTokens(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, sharers: Sharers, counts: tuple[int, ...]) -> torch.Tensor:
        ctx.sharers, ctx.counts = sharers, counts
        return _to_tokens(values, sharers, counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _to_heads(outer, ctx.sharers, ctx.counts), None, None


def _to_heads(parts: torch.Tensor, sharers: Sharers, counts: Sequence[int]) -> torch.Tensor:
    if sharers.size == 1:
        return parts[:, 0]
    sent = parts.transpose(0, 1).flatten(0, 1).contiguous()
    found = sent.new_empty(sum(counts), *sent.shape[1:])
    own = [counts[sharers.rank]] * sharers.size
    dist.all_to_all_single(found, sent, list(counts), own, group=sharers.group)
    return found


def _to_tokens(values: torch.Tensor, sharers: Sharers, counts: Sequence[int]) -> torch.Tensor:
    if sharers.size == 1:
        return values[:, None]
    own = counts[sharers.rank]
    found = values.new_empty(own * sharers.size, *values.shape[1:])
    dist.all_to_all_single(found, values.contiguous(), [own] * sharers.size, list(counts), group=sharers.group)
    return found.view(sharers.size, own, *values.shape[1:]).transpose(0, 1)


@dataclass
class Passing:
    """Tensors on their way to the next process of the ring, and those of the one before on their way here."""

    received: list[torch.Tensor]
    _sent: Sequence[torch.Tensor]  # held until they have left
    _works: list[Any] = field(default_factory=list)

    def arrived(self) -> list[torch.Tensor]:
        """Wait for them."""
        for work in self._works:
            work.wait()
        return self.received


def pass_on(sharers: Sharers, tensors: Sequence[torch.Tensor], length: int) -> Passing:
    """Send tensors (heads, T, n) to the next process, and begin to receive those of the one before, T = `length`."""
    sent = [tensor.contiguous() for tensor in tensors]
    received = [tensor.new_empty(tensor.shape[0], length, *tensor.shape[2:]) for tensor in tensors]
    following, former = (dist.get_global_rank(sharers.group, (sharers.rank + step) % sharers.size) for step in (1, -1))
    operations = [dist.P2POp(dist.isend, tensor, following, sharers.group) for tensor in sent]
    operations += [dist.P2POp(dist.irecv, tensor, former, sharers.group) for tensor in received]
    return Passing(received, sent, dist.batch_isend_irecv(operations))
