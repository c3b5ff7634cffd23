"""Sequences that begin alike, as a tree: what several share is computed once, and so is a question before its answers.

The last token of a sequence is only predicted, so sequences that differ in it alone are one row of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .caching import longest_common

_LEAST = 32  # tokens that are shared; computing fewer again costs no more than copying what is known of those before
_DEEPEST = 8  # branches one behind the other


@dataclass(frozen=True)
class End:
    """A sequence whose last token is predicted within a node."""

    index: int  # of the sequence
    length: int  # tokens before the last, at least one
    token: int  # the last


@dataclass(eq=False)
class Node:
    """The tokens from `start` to `stop` of a path from the root."""

    path: tuple[int, ...]  # of one of the sequences that go through it, without the last token
    start: int
    stop: int
    children: list[Node] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Its own tokens."""
        return self.stop - self.start


@dataclass(eq=False)
class _Row:
    path: tuple[int, ...]
    ends: list[End]


def paths_of(sequences: Sequence[Sequence[int]]) -> tuple[list[Node], list[Node]]:
    """The paths that are computed for sequences; each of two or more tokens ends in one of them.

    Returns: the longest paths, each from the root, and the same as a tree, of which nodes are what several begin with.
    """
    rows = _rows(sequences)
    shared = [longest_common(one.path, other.path) for one, other in pairwise(rows)]
    return [Node(row.path, 0, len(row.path), ends=row.ends) for row in rows], _nodes(rows, shared, 0, 0)


def tokens_of(nodes: Sequence[Node]) -> int:
    """How many tokens are computed for a tree."""
    return sum(node.count + tokens_of(node.children) for node in nodes)


def _rows(sequences: Sequence[Sequence[int]]) -> list[_Row]:
    """The paths in the order of their tokens, without those that are the beginning of another one."""
    contexts = sorted((tuple(sequence[:-1]), index) for index, sequence in enumerate(sequences) if len(sequence) > 1)
    rows: list[_Row] = []
    for path, index in reversed(contexts):  # what begins with a path stands behind it
        if not rows or rows[-1].path[: len(path)] != path:
            rows.append(_Row(path, []))
        rows[-1].ends.append(End(index, len(path), sequences[index][-1]))
    return rows[::-1]


def _nodes(rows: Sequence[_Row], shared: Sequence[int], start: int, level: int) -> list[Node]:
    """The nodes of rows that begin with the same `start` tokens.

    Args:
        shared: tokens that each row and the next one begin with alike.
    """
    nodes, first = [], 0
    while first < len(rows):
        last = first
        while level < _DEEPEST and last + 1 < len(rows) and shared[last] >= start + _LEAST:
            last += 1
        group = rows[first : last + 1]
        if len(group) == 1:
            nodes.append(Node(group[0].path, start, len(group[0].path), ends=group[0].ends))
        else:
            stop = min(shared[first:last])
            ends = [end for row in group for end in row.ends if end.length <= stop]
            rest = [_Row(row.path, [end for end in row.ends if end.length > stop]) for row in group]
            nodes.append(Node(group[0].path, start, stop, _nodes(rest, shared[first:last], stop, level + 1), ends))
        first = last + 1
    return nodes
