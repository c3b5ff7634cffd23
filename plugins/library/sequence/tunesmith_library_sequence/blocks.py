"""Exact causal attention block by block, with an online softmax: a few queries and a few keys at a time.

The weights of a block P = exp(S - lse) need nothing of other blocks but the log-sum-exp of a query's scores, so that
blocks may come in any order and from other processes. Of a gradient dO: dV = Pᵀ dO, dP = dO Vᵀ,
dS = P ∘ (dP - rowsum(dO ∘ O)), dQ = s dS K, dK = s dSᵀ Q (Dao et al. 2022, arXiv 2205.14135; Dao 2023, arXiv
2307.08691; passed around in a ring: Liu et al. 2023, arXiv 2310.01889). A sink is a key without a value; a softcap c
makes scores c·tanh(S/c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tunesmith_library_sequence.pieces import Piece

TOGETHER, ON_CPU = 2**25, 2**20  # scores of all heads that exist at a time; on a CPU, whose caches hold them
WIDEST = 1024  # keys of a block


@dataclass(frozen=True)
class Rules:
    """How scores are made."""

    scaling: float
    window: int | None = None  # tokens that a token sees, itself included; None is all before it
    softcap: float | None = None


@dataclass(frozen=True)
class Block:
    """Some neighbouring queries, the neighbouring keys that they look at, and how far these are apart."""

    queries: slice
    keys: slice
    ahead: int  # place in the sequence of the first query, less that of the first key


def blocks(
    own: Sequence[Piece], others: Sequence[Piece], heads: int, window: int | None, together: int = TOGETHER
) -> Iterator[Block]:
    """What the queries of some pieces see of the keys of others, in blocks of `together` scores at most."""
    for queries in own:
        for keys in others:
            if keys.sequence != queries.sequence or keys.start >= queries.end:
                continue
            columns = min(keys.end - keys.start, WIDEST)
            rows = max(together // (heads * columns), 1)
            for start in range(queries.start, queries.end, rows):
                end = min(start + rows, queries.end)
                begin = keys.start if window is None else max(keys.start, start - window + 1)
                for first in range(begin, min(keys.end, end), columns):
                    last = min(first + columns, keys.end, end)
                    at, there = queries.at + start - queries.start, keys.at + first - keys.start
                    yield Block(slice(at, at + end - start), slice(there, there + last - first), start - first)


class Attention:
    """The attention of some queries over keys and values that come block after block.

    Args:
        query: (heads, T, D).
        wide: of a value.
        sinks: (heads,) or None.
    """

    def __init__(self, query: torch.Tensor, wide: int, rules: Rules, sinks: torch.Tensor | None) -> None:
        self.query, self.rules = query, rules
        heads, length, _ = query.shape
        exact = torch.promote_types(query.dtype, torch.float32)
        self.sum = query.new_zeros(heads, length, wide, dtype=exact)
        if sinks is None:
            lowest = torch.finfo(exact).min
            self.highest = query.new_full((heads, length), lowest, dtype=exact)
            self.weight = query.new_zeros(heads, length, dtype=exact)
        else:
            self.highest = sinks.to(exact)[:, None].expand(heads, length).clone()
            self.weight = query.new_ones(heads, length, dtype=exact)

    def see(self, key: torch.Tensor, value: torch.Tensor, some: Sequence[Block]) -> None:
        """Look at keys (key heads, S, D) and values (key heads, S, Dv)."""
        for block in some:
            scores, _ = _scores(self.query, key, block, self.rules)
            rows, values = block.queries, value[:, block.keys]
            highest = torch.maximum(self.highest[:, rows], scores.amax(-1).clamp(min=torch.finfo(scores.dtype).min))
            kept = torch.exp(self.highest[:, rows] - highest)
            weights = scores.sub_(highest[..., None]).exp_()
            self.highest[:, rows] = highest
            self.weight[:, rows] = self.weight[:, rows] * kept + weights.sum(-1)
            seen = _by_key_head(weights.to(values.dtype), len(values)) @ values
            self.sum[:, rows] = self.sum[:, rows] * kept[..., None] + seen.view(*weights.shape[:2], -1)

    def outcome(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The output (heads, T, Dv), in the type of the queries, and the log-sum-exp of the scores (heads, T)."""
        return (self.sum / self.weight[..., None]).to(self.query.dtype), self.highest + self.weight.log()


class Gradients:
    """The gradients of an `Attention`, block after block.

    Args:
        output, sums: what `outcome` gave.
        outer: the gradient of `output`.
    """

    def __init__(
        self, query: torch.Tensor, rules: Rules, output: torch.Tensor, sums: torch.Tensor, outer: torch.Tensor
    ) -> None:
        self.queries, self.rules, self.sums, self.outer = query, rules, sums, outer
        self.query = torch.zeros_like(query, dtype=sums.dtype)
        self.delta = (outer.to(sums.dtype) * output.to(sums.dtype)).sum(-1)

    def see(self, key: torch.Tensor, value: torch.Tensor, some: Sequence[Block]) -> tuple[torch.Tensor, torch.Tensor]:
        """Look at keys (key heads, S, D) and values (key heads, S, Dv) again: the gradients of these."""
        exact, cap, scaling = self.sums.dtype, self.rules.softcap, self.rules.scaling
        of_key, of_value = (torch.zeros_like(each, dtype=exact) for each in (key, value))
        for block in some:
            rows, columns, outer = block.queries, block.keys, self.outer[:, block.queries]
            scores, capped = _scores(self.queries, key, block, self.rules)
            weights = scores.sub_(self.sums[:, rows, None]).exp_()
            grouped = _by_key_head(outer, len(key))
            of_value[:, columns] += (_by_key_head(weights.to(value.dtype), len(key)).mT @ grouped).to(exact)
            of_weights = (grouped @ value[:, columns].mT).view(weights.shape).to(exact)
            of_scores = of_weights.sub_(self.delta[:, rows, None]).mul_(weights)
            if capped is not None and cap is not None:
                of_scores.mul_(1 - (capped / cap).square())
            of_scores = _by_key_head(of_scores.to(key.dtype), len(key))
            given = (of_scores @ key[:, columns]).view(self.query[:, rows].shape)
            self.query[:, rows] += given.to(exact).mul_(scaling)
            of_key[:, columns] += (of_scores.mT @ _by_key_head(self.queries[:, rows], len(key))).to(exact)
        return of_key.mul_(scaling), of_value

    def of_sinks(self, sinks: torch.Tensor) -> torch.Tensor:
        """The gradient of the sinks (heads,): a sink takes weight away from values, and has none itself."""
        weights = torch.exp(sinks.to(self.sums.dtype)[:, None] - self.sums)
        return -(weights * self.delta).sum(-1).to(sinks.dtype)


def _scores(
    query: torch.Tensor, key: torch.Tensor, block: Block, rules: Rules
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The scores of a block (heads, queries, keys) in fp32 or more, -inf where nothing is seen; and before that mask,
    where they are capped."""
    queries = query[:, block.queries]
    grouped, nothing = _by_key_head(queries, len(key)), query.new_zeros(1, 1, 1)
    scores = torch.baddbmm(nothing, grouped, key[:, block.keys].mT, beta=0, alpha=rules.scaling)
    scores = scores.view(*queries.shape[:2], -1).to(torch.promote_types(query.dtype, torch.float32))
    capped = None
    if rules.softcap is not None:
        scores = capped = scores.div_(rules.softcap).tanh_().mul_(rules.softcap)
    rows, columns = scores.shape[1:]
    sees_ahead = block.ahead < columns - 1
    forgets = rules.window is not None and block.ahead + rows - 1 >= rules.window
    if sees_ahead or forgets:
        back = torch.arange(rows, device=query.device)[:, None] - torch.arange(columns, device=query.device)
        back += block.ahead  # tokens from the query back to the key
        hidden = back < 0 if rules.window is None else (back < 0) | (back >= rules.window)
        scores = scores.masked_fill(hidden, -torch.inf) if scores is capped else scores.masked_fill_(hidden, -torch.inf)
    return (scores.clone() if scores is capped else scores), capped


def _by_key_head(tensor: torch.Tensor, key_heads: int) -> torch.Tensor:
    """(heads, T, n) as (key heads, heads / key heads · T, n): all that look at the same keys below each other."""
    return tensor.reshape(key_heads, -1, tensor.shape[-1])
