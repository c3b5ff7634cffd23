"""Attention on the CPU against itself in float64, sequence by sequence."""

import pytest
import torch
from tunesmith_library_training import cpu_attention

SHAPES = ((2, 2, 16), (4, 2, 32))  # heads, key heads, width
LENGTHS = ([5], [1, 1, 2], [40, 38, 37, 12, 3], [140, 7, 130], [520, 20])


def reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], scale: float
) -> torch.Tensor:
    """Softmax over the tokens up to a query's own, written as its definition, in float64."""
    repeats = query.shape[1] // key.shape[1]
    found = []
    for q, k, v in zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True):
        scores = q @ k.repeat_interleave(repeats, 1).transpose(2, 3) * scale
        hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
        found.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v.repeat_interleave(repeats, 1))
    return torch.cat(found, 2).transpose(1, 2)


def results(function, inputs: list[torch.Tensor], outer: torch.Tensor, *more) -> list[torch.Tensor]:
    """The output, and the gradients of the inputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    output = function(*leaves, *more)
    return [output, *torch.autograd.grad(output, leaves, outer.to(output.dtype))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_float64(shape: tuple[int, int, int], lengths: list[int], dtype: torch.dtype) -> None:
    """In fp32 to 1e-5 of the largest number; in bf16 no worse than torch's own attention in bf16."""
    torch.manual_seed(0)
    heads, key_heads, width = shape
    total = sum(lengths)
    inputs = [torch.randn(1, total, n, width).to(dtype).transpose(1, 2) for n in (heads, key_heads, key_heads)]
    outer = torch.randn(1, total, heads, width).to(dtype)
    exact = results(reference, [tensor.double() for tensor in inputs], outer.double(), lengths, width**-0.5)
    found = results(cpu_attention.attend, inputs, outer, lengths, None)
    fused = results(by_torch, inputs, outer, lengths)
    for name, ours, theirs, wanted in zip(("output", "query", "key", "value"), found, fused, exact, strict=True):
        assert ours.shape == wanted.shape and ours.dtype == dtype
        error, allowed = (ours.double() - wanted).abs().max(), (theirs.double() - wanted).abs().max()
        largest = wanted.abs().max()
        assert error <= (1e-5 * largest if dtype == torch.float32 else 1.5 * allowed + 2**-8 * largest), name


def by_torch(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    parts = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    attention = torch.nn.functional.scaled_dot_product_attention
    found = [attention(*part, is_causal=True, enable_gqa=query.shape[1] != key.shape[1]) for part in parts]
    return torch.cat(found, 2).transpose(1, 2)


def test_scaling() -> None:
    inputs = [torch.randn(1, 9, 2, 32, dtype=torch.bfloat16).transpose(1, 2) for _ in range(3)]
    found = cpu_attention.attend(*inputs, [9], 0.5)
    wanted = reference(*(tensor.double() for tensor in inputs), [9], 0.5)
    assert torch.allclose(found.double(), wanted, atol=0.02)


def test_what_is_computed_together() -> None:
    """Every sequence once; none much longer than another of its call; no call of more weights than its bound."""
    lengths = [30, 200, 28, 31, 190, 29, 64, 2, 64, 63]
    groups = cpu_attention.together(lengths, heads=8)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        members = [lengths[place] for place in group]
        assert min(members) >= cpu_attention.ALIKE * max(members)
        assert len(group) == 1 or 8 * len(group) * max(members) ** 2 <= cpu_attention.TOGETHER
    assert {frozenset({0, 2, 3, 5}), frozenset({6, 8, 9})} <= {frozenset(group) for group in groups}


def test_neighbours_do_not_matter() -> None:
    """A sequence gives the same, whatever stands beside it: what pads it is seen by none of its tokens."""
    torch.manual_seed(1)
    query, key, value = (torch.randn(1, 40, 2, 32, dtype=torch.bfloat16).transpose(1, 2) for _ in range(3))
    together = cpu_attention.attend(query, key, value, [13, 15, 12], None)
    alone = [
        cpu_attention.attend(query[:, :, a:b], key[:, :, a:b], value[:, :, a:b], [b - a], None)
        for a, b in ((0, 13), (13, 28), (28, 40))
    ]
    assert torch.allclose(together.float(), torch.cat(alone, 1).float(), atol=0.01)
