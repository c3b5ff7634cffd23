"""Gradients in a loop of one's own: clipped as torch clips them, here on a mesh of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from tunesmith_library_training.learning import add_gradients, clip_gradients


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Any]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


@pytest.mark.parametrize("longest", [0.5, 1e6, float("inf")])
def test_gradients_are_clipped_together(mesh: Any, longest: float) -> None:
    """Of spread weights, of whole ones, and of such as have none."""
    torch.manual_seed(0)
    gradients = [torch.randn(4, 3), torch.randn(5)]
    plain = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for weight, gradient in zip(plain, gradients, strict=True):
        weight.grad = gradient.clone()
    spread = torch.nn.Parameter(distribute_tensor(torch.zeros(4, 3), mesh, [Shard(0)]))
    spread.grad = distribute_tensor(gradients[0].clone(), mesh, [Shard(0)])
    whole = torch.nn.Parameter(torch.zeros(5))
    whole.grad = gradients[1].clone()
    mixed = [spread, whole, torch.nn.Parameter(torch.zeros(2))]
    add_gradients(mixed)
    expected = float(torch.nn.utils.clip_grad_norm_(plain, longest))
    assert clip_gradients(mixed, longest) == pytest.approx(expected, rel=1e-6)
    for weight, other in zip(mixed, plain, strict=False):
        gradient: Any = weight.grad
        torch.testing.assert_close(gradient.to_local() if weight is spread else gradient, other.grad)
