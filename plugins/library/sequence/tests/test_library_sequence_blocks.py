"""Pieces cover a batch once and give all processes as much to do; attention of blocks is exact, in any order."""

from __future__ import annotations

import itertools

import pytest
import torch
from tunesmith_library_sequence import blocks, ring
from tunesmith_library_sequence.blocks import Attention, Gradients, Rules
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.pieces import Division, contiguous, zigzag

LENGTHS = [[5, 1, 9], [3], [33, 2, 17], [64]]


def written_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    rules: Rules,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention (heads, T, D) under a mask over the whole row: what all others are compared with."""
    groups = len(query) // len(key)
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    scores = query @ key.mT * rules.scaling
    if rules.softcap is not None:
        scores = rules.softcap * torch.tanh(scores / rules.softcap)
    number = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    back = torch.arange(len(number))[:, None] - torch.arange(len(number))
    sees = (number[:, None] == number) & (back >= 0)
    if rules.window is not None:
        sees &= back < rules.window
    scores = scores.masked_fill(~sees, -torch.inf)
    if sinks is None:
        return scores.softmax(-1) @ value
    column = sinks[:, None, None].expand(-1, scores.shape[1], 1)
    return torch.cat([scores, column], -1).softmax(-1)[..., :-1] @ value


def drawn(length: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Queries of four heads, keys and values of two, and sinks, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4, length, 8), (2, length, 8), (2, length, 6), (4,))
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("divide", [contiguous, zigzag])
def test_each_token_is_of_one_process(divide: object, lengths: list[int], size: int) -> None:
    division: Division = divide(lengths, size)  # type: ignore[operator]
    places = [division.places(process) for process in range(size)]
    assert torch.equal(torch.cat(places).sort().values, torch.arange(sum(lengths)))
    assert [len(own) for own in places] == division.counts
    for own, part in zip(places, division.parts, strict=True):
        assert torch.equal(own, own.sort().values), "losses look positions up in it"
        assert [piece.here for piece in part] == [
            slice(at, at + piece.end - piece.start)
            for piece, at in zip(part, itertools.accumulate((p.end - p.start for p in part), initial=0), strict=False)
        ]


def test_a_long_sequence_gives_all_processes_as_much_to_do() -> None:
    division = zigzag([1024], 4)
    assert division.counts == [256] * 4 == contiguous([1024], 4).counts

    def pairs(division: Division, process: int) -> int:
        return int((division.places(process) + 1).sum())  # keys that each query sees

    work = [pairs(division, process) for process in range(4)]
    assert max(work) == min(work)
    plain = [pairs(contiguous([1024], 4), process) for process in range(4)]
    assert max(plain) > 6 * min(plain)


RULES = [
    (Rules(0.3), False),
    (Rules(0.3, window=4), False),
    (Rules(0.3, softcap=1.5), False),
    (Rules(0.3, window=3, softcap=2.0), True),
]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(("rules", "sinks"), RULES, ids=["plain", "window", "softcap", "all"])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_what_all_processes_compute_is_the_attention_of_the_row(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], rules: Rules, sinks: bool, size: int
) -> None:
    """Without the processes: each one's queries meet the keys of all, as they come round."""
    monkeypatch.setattr(blocks, "WIDEST", 5)
    query, key, value, drain = (tensor.requires_grad_() for tensor in drawn(sum(lengths)))
    expected = written_out(query, key, value, lengths, rules, drain if sinks else None)
    outer = torch.randn_like(expected)
    expected.backward(outer)
    division = zigzag(lengths, size)
    found, of_query = torch.zeros_like(expected), torch.zeros_like(query)
    of_key, of_value, of_sinks = torch.zeros_like(key), torch.zeros_like(value), torch.zeros_like(drain)
    with torch.no_grad():
        for process in range(size):
            own = division.places(process)
            attention = Attention(query[:, own], value.shape[-1], rules, drain if sinks else None)
            order = [(process - step) % size for step in range(size)]
            for source in order:
                some = list(blocks.blocks(division.parts[process], division.parts[source], 4, rules.window, 64))
                there = division.places(source)
                attention.see(key[:, there], value[:, there], some)
            found[:, own], sums = attention.outcome()
            gradients = Gradients(query[:, own], rules, found[:, own], sums, outer[:, own])
            for source in order:
                some = list(blocks.blocks(division.parts[process], division.parts[source], 4, rules.window, 64))
                there = division.places(source)
                given = gradients.see(key[:, there], value[:, there], some)
                of_key[:, there] += given[0]
                of_value[:, there] += given[1]
            of_query[:, own] = gradients.query
            of_sinks += gradients.of_sinks(drain)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_query, query.grad)
    torch.testing.assert_close(of_key, key.grad)
    torch.testing.assert_close(of_value, value.grad)
    if sinks:
        torch.testing.assert_close(of_sinks, drain.grad)


def test_alone_it_is_attention_with_gradients() -> None:
    inputs = tuple(tensor.requires_grad_() for tensor in drawn(6))
    division = contiguous([4, 2], 1)

    def attend(*inputs: torch.Tensor) -> torch.Tensor:
        return ring.attend(*inputs, division, Sharers(), Rules(0.3, window=3, softcap=2.0))

    assert torch.autograd.gradcheck(attend, inputs, atol=1e-6)


def test_blocks_are_bounded_and_leave_out_what_is_not_seen() -> None:
    division = zigzag([100_000], 2)
    first, second = division.parts
    some = list(blocks.blocks(first, first, 8, None, 2**22))
    rows = [block.queries.stop - block.queries.start for block in some]
    columns = [block.keys.stop - block.keys.start for block in some]
    assert max(8 * row * column for row, column in zip(rows, columns, strict=True)) <= 2**22
    seen = sum(row * column for row, column in zip(rows, columns, strict=True))
    places = division.places(0)
    needed = sum(int((places <= place).sum()) for place in places[:: len(places) // 200].tolist()) * (
        len(places) / len(places[:: len(places) // 200])
    )
    assert needed * 0.98 < seen < 1.1 * needed
    near = list(blocks.blocks(second, first, 8, 512, 2**22))
    assert all(block.ahead + block.queries.stop - block.queries.start <= 512 + 512 + 1024 for block in near)
    assert len(near) < len(some) / 20
