"""How the processes of a run are divided: who has a part of the same weights, and who computes a layer together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from tunesmith import TunesmithError
from tunesmith_library_training import processes

if TYPE_CHECKING:
    from tunesmith_parallel_fsdp import Fsdp


@dataclass(frozen=True)
class Meshes:
    """Views of the same processes. Neighbours compute layers together, and have the experts of a layer among them."""

    shards: DeviceMesh  # those that have parts of the same weights, or replicas by shards
    tensor: DeviceMesh  # those that compute the same examples
    copies: DeviceMesh  # those that have the same experts, or replicas by copies
    experts: DeviceMesh  # those that have all experts among them


def meshes(options: Fsdp, device: str) -> Meshes:
    """Divide all processes of the run, which all call it.

    Args:
        device: as torch names its kind: cpu, cuda.

    Raises: TunesmithError when their number cannot be divided so.
    """
    count = processes.count()
    for name, parts in (("tensor", options.tensor), ("experts", options.experts)):
        if count % (options.replicas * parts):
            raise TunesmithError(
                f"parallel.replicas={options.replicas}, parallel.{name}={parts}: {count} processes cannot be divided "
                "so.\n  their number must be a multiple of both together"
            )
    shards, tensor = _view(device, options.replicas, options.tensor, ("shards", "tensor"))
    if options.experts == 1:
        return Meshes(shards, tensor, shards, tensor)
    copies, experts = _view(device, options.replicas, options.experts, ("copies", "experts"))
    return Meshes(shards, tensor, copies, experts)


def _view(device: str, replicas: int, inner: int, names: tuple[str, str]) -> tuple[DeviceMesh, DeviceMesh]:
    outer = processes.count() // (replicas * inner)
    mesh = init_device_mesh(device, (replicas, outer, inner), mesh_dim_names=("replicas", *names))
    return mesh[names[0]] if replicas == 1 else mesh["replicas", names[0]], mesh[names[1]]
