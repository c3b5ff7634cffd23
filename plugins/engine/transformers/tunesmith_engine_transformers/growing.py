"""A tree of beginnings (`beginnings`) computed from the root on: what is known of a node goes on to its children.

As with prompts (`prefilling`), rows that are computed together end at the same column, and a shorter one is computed a
second time as far as it must. Children are computed before the next batch of their parents, so that few keys and values
are held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from .beginnings import Node
from .caching import RowCache
from .forwarding import Forward
from .prefixes import Known, cut

_HELD, _HELD_ON_CPU = 2**31, 2**28  # bytes of keys and values that a batch begins with

_Waiting = tuple[Node, Known]


def grown(forward: Forward, nodes: Sequence[Node], most: int) -> Iterator[list[tuple[Node, Any]]]:
    """The scores of a tree's tokens, a batch at a time; a node comes before its children.

    Args:
        most: tokens of a batch, unless one node has more.

    Returns: nodes, each with (count, V): at each of its own tokens the scores of the next one.
    """
    return _grown(forward, [(node, Known()) for node in nodes], most)


def _grown(forward: Forward, waiting: list[_Waiting], most: int) -> Iterator[list[tuple[Node, Any]]]:
    held = _HELD_ON_CPU if forward.device.type == "cpu" else _HELD
    for batch in _batches(waiting, most, held):
        cache, logits = _computed(forward, batch)
        yield [(node, logits[row, -node.count :]) for row, (node, _) in enumerate(batch)]
        del logits
        children = [
            (child, Known(node.stop, cache.take(row, node.stop, node.stop)))
            for row, (node, _) in enumerate(batch)
            for child in node.children
        ]
        yield from _grown(forward, children, most)


def _batches(waiting: list[_Waiting], most: int, held: int) -> Iterator[list[_Waiting]]:
    """Those that are computed together, of similar length.

    Args:
        held: bytes of keys and values that they begin with, unless one node has more.
    """
    order = sorted(waiting, key=lambda item: item[0].count)
    while order:
        batch = [order.pop()]
        width, size = batch[0][0].count, _bytes(batch[0][1])
        while order and (len(batch) + 1) * width <= most and _goes_with(*order[-1], width):
            size += _bytes(order[-1][1])
            if size > held:
                break
            batch.append(order.pop())
        yield batch


def _goes_with(node: Node, known: Known, width: int) -> bool:
    """Whether little is computed in vain, and what is known reaches to where the batch begins."""
    return 4 * node.count >= 3 * width - 16 and (not known.count or node.stop > width)


def _bytes(known: Known) -> int:
    return sum(part.keys.nbytes + part.values.nbytes for part in known.kept if part.keys is not None)


def _computed(forward: Forward, batch: Sequence[_Waiting]) -> tuple[RowCache, Any]:
    """Compute the own tokens of nodes.

    Returns: the cache in which each has its row, and (rows, width, V), the scores at the last tokens of each.
    """
    cache, width = forward.new_cache(), batch[0][0].count
    for node, known in batch:
        if known.count:
            cache.append(cut(known.kept, known.count, node.stop - width), node.stop - width)
    before = cache.span if batch[0][1].count else 0
    ids = [
        [*[node.path[0]] * (width - node.stop), *node.path[max(node.stop - width, 0) : node.stop]] for node, _ in batch
    ]
    lengths = torch.tensor([node.stop for node, _ in batch], device=forward.device)
    columns = torch.arange(before, before + width, device=forward.device)
    positions = (columns - (before + width - lengths)[:, None]).clamp_min(0)
    return cache, forward.logits(torch.tensor(ids, device=forward.device), lengths, positions, cache, width)
